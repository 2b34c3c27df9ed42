package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"weir/broker"
)

func clusterCommand(p process) *cobra.Command {
	c := &cobra.Command{Use: "cluster", Short: "Look at a cluster"}
	var server string
	var asJSON bool
	var limit time.Duration
	status := &cobra.Command{
		Use:   "status",
		Short: "Show members, the quorum of the metadata, and partitions that are not fully replicated",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			s, err := broker.ReadClusterStatus(ctx, server)
			if err != nil {
				return fmt.Errorf("the status of the cluster, from %s: %w", server, err)
			}
			if asJSON {
				e := json.NewEncoder(p.out)
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return printStatus(p.out, s)
		},
	}
	status.Flags().StringVar(&server, "bootstrap-server", "localhost:9092", "any broker of the cluster, `host:port`")
	status.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	status.Flags().DurationVar(&limit, "timeout", 40*time.Second, "give up after this time")
	c.AddCommand(status)
	return c
}

// printStatus prints a table of nodes, and one of partitions where there is something to see.
func printStatus(out io.Writer, s *broker.ClusterStatus) error {
	leader := fmt.Sprintf("controller %d, term %d, %d entries", s.Leader, s.Term, s.Committed)
	if s.Leader < 0 {
		leader = "no controller"
	}
	fmt.Fprintf(out, "cluster %s: %s, %d partitions, %d under-replicated\n\n", s.ClusterID, leader, s.Partitions, len(s.Troubled))
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tADDRESS\tRACK\tBROKER\tQUORUM\tLAG\tLEADS")
	for _, m := range s.Members {
		quorum, lag, rack := "follows", fmt.Sprint(m.Lag), m.Rack
		switch {
		case m.ID == s.Leader:
			quorum = "leader"
		case m.Voter:
			quorum = "voter"
		}
		if m.Lag < 0 {
			lag = "?"
		}
		if rack == "" {
			rack = "-"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%d\n", m.ID, m.Address, rack, m.Broker, quorum, lag, m.Leads)
	}
	if len(s.Troubled) > 0 {
		fmt.Fprintln(t, "\nTOPIC\tPARTITION\tLEADER\tREPLICAS\tIN SYNC")
		for _, p := range s.Troubled {
			fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\n", p.Topic, p.Partition, p.Leader, ids(p.Replicas), ids(p.ISR))
		}
	}
	return t.Flush()
}

func ids(list []int32) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(list)), ","), "[]")
}
