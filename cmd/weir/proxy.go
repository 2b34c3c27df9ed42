package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/proxy"
)

func proxyCommand(p process) *cobra.Command {
	var v proxy.Cluster
	c := &cobra.Command{
		Use:   "proxy",
		Short: "Stand in front of a Kafka cluster",
		Long: "Stand in front of a Kafka cluster: clients see the proxy's addresses only. Each broker has a port of its own, that of --listen\n" +
			"plus one plus the broker's id, or --base-port plus its id.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return runProxy(proxy.Config{Clusters: []proxy.Cluster{v}}, p)
		},
	}
	c.Flags().StringSliceVar(&v.Upstream, "upstream", nil, "host:port of brokers of the cluster, as in bootstrap.servers")
	c.Flags().StringVar(&v.Listen, "listen", "127.0.0.1:19092", "host:port for clients")
	c.Flags().IntVar(&v.BasePort, "base-port", 0, "port of the broker with id 0; 0: one above that of --listen, -1: any that are free")
	c.Flags().BoolVar(&v.Single, "single", false, "offer all brokers at the address of --listen")
	c.Flags().StringVar(&v.Advertise, "advertise", "", "host that clients are told (default: where they reached the proxy)")
	c.Flags().BoolVar(&v.PassUnknown, "pass-unknown", false, "pass on API keys and versions that this proxy does not know, whatever addresses are in them")
	return c
}

// runProxy runs a proxy until a signal. A second signal ends the process at once.
func runProxy(cfg proxy.Config, p process) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	cfg.Logger = slog.New(slog.NewTextHandler(p.err, nil))
	x, err := proxy.Start(cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "ready: %s, %d ms\n", x.Ready(), time.Since(started).Milliseconds())
	s := <-signals
	go func() { os.Exit(128 + int((<-signals).(syscall.Signal))) }()
	cfg.Logger.Info("stopping", "signal", s.String())
	return x.Close()
}
