// Command weir is the Kafka-compatible broker. This file only starts; sub-commands, flags and signals are beside it.
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// started is as near to the start of the process as Go code comes: the ready line counts from here.
var started = time.Now()

func main() {
	os.Exit(run(os.Args[1:], process{out: os.Stdout, err: os.Stderr, environ: os.Environ()}))
}

// process is what the commands have of the world.
type process struct {
	out, err io.Writer
	environ  []string
}

// run runs one command line and returns the exit code: 1 with one line on standard error where it failed.
func run(args []string, p process) int {
	root := rootCommand(p)
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(p.err, "weir:", err)
		return 1
	}
	return 0
}

func rootCommand(p process) *cobra.Command {
	root := &cobra.Command{
		Use:           "weir",
		Short:         "A broker for the clients and tools of Apache Kafka",
		Long:          "A broker for the clients and tools of Apache Kafka. Without a command it is `weir broker`.",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetOut(p.out)
	root.SetErr(p.err)
	brokerFlags(root, p)
	root.AddCommand(brokerCommand(p), clusterCommand(p), proxyCommand(p), configCommand(p), versionCommand(p))
	return root
}
