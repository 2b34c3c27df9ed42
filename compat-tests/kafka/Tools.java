import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's tools one after the other in one JVM: a start takes longer than most of what they do. Each line of standard input is a
 * class and its arguments, separated by tabs. Answered is a line "exit code, bytes of output, bytes of errors", and those bytes.
 * Run by compat-tests/tools with kafka.sh tool.
 */
public class Tools {
    /** A stream for the tool that runs; the logger keeps it for ever. */
    static class Captured extends OutputStream {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        @Override public synchronized void write(int b) { bytes.write(b); }

        @Override public synchronized void write(byte[] b, int from, int n) { bytes.write(b, from, n); }

        synchronized byte[] take() {
            byte[] all = bytes.toByteArray();
            bytes.reset();
            return all;
        }
    }

    static int run(String[] command) throws Exception {
        var code = new CompletableFuture<Integer>();
        // Who exits must not go on, and there is no exception that a tool does not catch: its thread stays where it is.
        Exit.setExitProcedure((status, message) -> {
            code.complete(status);
            while (true) {
                try {
                    Thread.sleep(Long.MAX_VALUE);
                } catch (InterruptedException e) {
                    // nor then
                }
            }
        });
        var main = Class.forName(command[0]).getMethod("main", String[].class);
        var thread = new Thread(() -> {
            try {
                main.invoke(null, (Object) Arrays.copyOfRange(command, 1, command.length));
                code.complete(0);
            } catch (ReflectiveOperationException e) { // what a JVM says and returns of an exception that nobody catches
                e.getCause().printStackTrace();
                code.complete(1);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return code.get();
    }

    public static void main(String[] args) throws Exception {
        var answers = System.out;
        Captured out = new Captured(), err = new Captured();
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        var commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = commands.readLine()) != null; ) {
            int code = run(line.split("\t"));
            byte[] o = out.take(), e = err.take();
            answers.write((code + " " + o.length + " " + e.length + "\n").getBytes(StandardCharsets.UTF_8));
            answers.write(o);
            answers.write(e);
            answers.flush();
        }
    }
}
