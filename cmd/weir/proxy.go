package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/proxy"
	"weir/proxy/file"
)

// watchEvery is how often the files of a proxy's configuration are looked at.
const watchEvery = time.Second

func proxyCommand(p process) *cobra.Command {
	var v proxy.Cluster
	var config string
	c := &cobra.Command{
		Use:   "proxy",
		Short: "Stand in front of a Kafka cluster",
		Long: "Stand in front of a Kafka cluster: clients see the proxy's addresses only. Each broker has a port of its own, that of --listen\n" +
			"plus one plus the broker's id, or --base-port plus its id. With --config it stands in front of several, as a YAML file says,\n" +
			"which is read again on SIGHUP and when it changes.",
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringSliceVar(&v.Upstream, "upstream", nil, "host:port of brokers of the cluster, as in bootstrap.servers")
	f.StringVar(&v.Listen, "listen", "127.0.0.1:19092", "host:port for clients")
	f.IntVar(&v.BasePort, "base-port", 0, "port of the broker with id 0; 0: one above that of --listen, -1: any that are free")
	f.BoolVar(&v.Single, "single", false, "offer all brokers at the address of --listen")
	f.StringVar(&v.Advertise, "advertise", "", "host that clients are told (default: where they reached the proxy)")
	f.BoolVar(&v.PassUnknown, "pass-unknown", false, "pass on API keys and versions that this proxy does not know, whatever addresses are in them")
	f.StringVar(&config, "config", "", "YAML file with clusters, instead of the other flags")
	c.RunE = func(*cobra.Command, []string) error {
		if config == "" {
			if len(v.Upstream) == 0 {
				return errors.New("proxy needs --upstream host:port or --config FILE")
			}
			return runProxy(p, "", &file.File{Clusters: []proxy.Cluster{v}})
		}
		for _, name := range []string{"upstream", "listen", "base-port", "single", "advertise", "pass-unknown"} {
			if f.Changed(name) {
				return fmt.Errorf("--%s does not go with --config: it belongs in the file", name)
			}
		}
		read, err := file.Read(config)
		if err != nil {
			return err
		}
		return runProxy(p, config, read)
	}
	c.AddCommand(&cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong with a configuration file of the proxy",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := file.Check(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.out, "%s: ok\n", args[0])
			return err
		},
	})
	return c
}

// runProxy runs a proxy until a signal. A second signal ends the process at once; SIGHUP, and a change of the files, has them read again.
func runProxy(p process, config string, now *file.File) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	log := slog.New(slog.NewTextHandler(p.err, nil))
	x, err := proxy.Start(proxy.Config{Clusters: now.Clusters, Logger: log})
	if err != nil {
		now.Close()
		return err
	}
	defer func() { now.Close() }()
	fmt.Fprintf(p.out, "ready: %s, %d ms\n", x.Ready(), time.Since(started).Milliseconds())
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	seen := now.Read() // of the files, as far as something was done about it
	for {
		select {
		case s := <-signals:
			go func() { os.Exit(128 + int((<-signals).(syscall.Signal))) }()
			log.Info("stopping", "signal", s.String())
			return x.Close()
		case <-watch.C:
			if config == "" || now.Now() == seen {
				continue
			}
		case <-again:
			if config == "" {
				continue
			}
		}
		seen = now.Now()
		if next := reloadProxy(log, x, config); next != nil {
			now.Close()
			now, seen = next, next.Read()
		}
	}
}

// reloadProxy reads the file and gives it to the proxy. Where it is wrong everything stays as it is, and it returns nil.
func reloadProxy(log *slog.Logger, x *proxy.Proxy, config string) *file.File {
	next, err := file.Read(config)
	if err != nil {
		log.Error("the configuration stays as it is", "error", err.Error())
		return nil
	}
	if err := x.Reload(next.Clusters); err != nil {
		log.Error("the configuration was read again, and not all of it can be done", "error", err.Error())
	} else {
		log.Info("the configuration was read again", "now", x.Ready())
	}
	return next
}
