package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/broker"
)

func brokerCommand(p process) *cobra.Command {
	c := &cobra.Command{
		Use:   "broker",
		Short: "Run a broker",
		Long: "Run a broker. Keys are Kafka's: from a properties file (--config), from variables (KAFKA_LOG_DIRS is log.dirs), from --set.\n" +
			"Without any, it listens on 127.0.0.1:9092 and [::1]:9092 and keeps its data in ./data.",
		Args: cobra.NoArgs,
	}
	brokerFlags(c, p)
	return c
}

// brokerFlags makes c run a broker.
func brokerFlags(c *cobra.Command, p process) {
	var flags settingFlags
	flags.add(c)
	c.Flags().StringSliceVar(&flags.join, "join", nil, "join the cluster of the node at `host:port`, any member's; the same as --set cluster.join=")
	c.RunE = func(*cobra.Command, []string) error { return runBroker(flags, p) }
}

// runBroker starts a broker, says so, and returns when it has ended: by a signal with nil. A second signal ends the process at once.
func runBroker(flags settingFlags, p process) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	log := slog.New(slog.NewTextHandler(p.err, nil))
	static, warnings, err := flags.resolve(p.environ)
	for _, w := range warnings {
		log.Warn(w.Text)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan os.Signal, 1) // the first signal, once
	go func() {
		select {
		case s := <-signals:
			stop <- s
			cancel() // a start that is under way ends
		case <-ctx.Done():
			return
		}
		os.Exit(128 + int((<-signals).(syscall.Signal)))
	}()

	b, err := broker.Start(ctx, broker.Config{Settings: static, Logger: log})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	fmt.Fprintf(p.out, "ready: %s, %d ms\n", b.Ready(), time.Since(started).Milliseconds())

	ended := make(chan error, 1)
	go func() { ended <- b.Wait() }()
	select {
	case s := <-stop:
		log.Info("stopping", "signal", s.String())
		return b.Close()
	case err := <-ended:
		return err
	}
}
