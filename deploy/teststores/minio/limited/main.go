// Program limited gives a MinIO server a user who may do what the policy on standard input allows, and nothing else.
//
// MinIO takes users by its administrative API alone, whose bodies are encrypted with the administrator's secret. The address and
// the credentials come by the environment, since arguments are for everybody on the machine to read.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/minio/madmin-go/v3"
)

const patience = 20 * time.Second

func main() {
	if err := limit(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func limit() error {
	policy, err := io.ReadAll(os.Stdin)
	if err != nil {
		return fmt.Errorf("reading the policy: %w", err)
	}
	client, err := madmin.New(os.Getenv("ADDRESS"), os.Getenv("ROOT_ACCESS_KEY"), os.Getenv("ROOT_SECRET_KEY"), false)
	if err != nil {
		return fmt.Errorf("making a client of %s: %w", os.Getenv("ADDRESS"), err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	user := os.Getenv("USER_ACCESS_KEY")
	if err := client.AddUser(ctx, user, os.Getenv("USER_SECRET_KEY")); err != nil {
		return fmt.Errorf("adding the user %s: %w", user, err)
	}
	if err := client.AddCannedPolicy(ctx, user, policy); err != nil {
		return fmt.Errorf("adding a policy for %s: %w", user, err)
	}
	if _, err := client.AttachPolicy(ctx, madmin.PolicyAssociationReq{Policies: []string{user}, User: user}); err != nil {
		return fmt.Errorf("giving %s its policy: %w", user, err)
	}
	return nil
}
