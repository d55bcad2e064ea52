// Command kube is every program of a one-node Kubernetes in one executable.
//
// The programs share nearly all of their code: linked once they take 134 MiB and one link step, linked seven times half a
// gigabyte and seven. Which one runs is decided by the name it is called by, so the others are symbolic links.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // a CronJob may name a time zone, and a container or a small host may lack the database

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/pkg/controller/job"
)

// jobBackoff names the first pause of the job controller before it replaces a failed pod ("500ms"). Kubernetes has no
// flag for it and waits 10 s, 20 s, 40 s; a test that is not about that pause should not sit through it.
const jobBackoff = "VIDETTE_TESTCLUSTER_JOB_BACKOFF"

func shortenJobBackoff() error {
	text := os.Getenv(jobBackoff)
	if text == "" {
		return nil
	}
	pause, err := time.ParseDuration(text)
	if err != nil || pause <= 0 {
		return fmt.Errorf("%s=%q is no pause: write it like 500ms or 2s", jobBackoff, text)
	}
	job.DefaultJobPodFailureBackOff = pause
	return nil
}

func run(name string) int {
	switch name {
	case "etcd":
		etcdmain.Main(os.Args)
		return 0
	case "kube-apiserver":
		return cli.Run(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		if err := shortenJobBackoff(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		return cli.Run(controllers.NewControllerManagerCommand())
	case "kube-scheduler":
		return cli.Run(scheduler.NewSchedulerCommand())
	case "kubelet":
		return cli.Run(kubelet.NewKubeletCommand(context.Background()))
	case "kube-proxy":
		return cli.Run(proxy.NewProxyCommand())
	case "kubectl":
		return runKubectl(kubectl.NewDefaultKubectlCommand())
	}
	fmt.Fprintf(os.Stderr, "%s is none of the programs in here: call it etcd, kube-apiserver, kube-controller-manager, "+
		"kube-scheduler, kubelet, kube-proxy or kubectl (by a symbolic link)\n", name)
	return 2
}

func runKubectl(command *cobra.Command) int {
	if err := cli.RunNoErrOutput(command); err != nil {
		kubectlutil.CheckErr(err) // says what happened in kubectl's own words, and exits
	}
	return 0
}

func main() {
	os.Exit(run(filepath.Base(os.Args[0])))
}
