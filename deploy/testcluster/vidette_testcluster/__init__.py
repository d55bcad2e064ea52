"""A real Kubernetes of one node, for tests: built from source, started without Docker, gone without a trace.

A stand-in for the API server would agree with whatever we believe about Kubernetes. This is the thing itself: etcd, API server,
controllers, scheduler, kubelet, kube-proxy and CoreDNS, with containerd and runc below. It lives in a network namespace and in a
cgroup of its own, so several stand side by side and none meets what else runs on the machine.

    python -m vidette_testcluster build                  the programs, once (20 minutes on two cores; cached by content)
    python -m vidette_testcluster up                     prints the path of a kubeconfig that works from the host
    python -m vidette_testcluster status --json          addresses, pids, logs
    python -m vidette_testcluster kubectl get pods -A
    python -m vidette_testcluster exec -- COMMAND        runs it inside the cluster's network namespace
    python -m vidette_testcluster images import FILE...  makes images known to the node
    python -m vidette_testcluster stop|start PART        takes one program away and brings it back
    python -m vidette_testcluster down                   everything ends

Where things are: `--state FOLDER` (or VIDETTE_TESTCLUSTER_STATE) names the cluster; each folder is a cluster of its own. Built
programs lie in VIDETTE_TESTCLUSTER_CACHE.

Addresses come out of 198.18.0.0/15, which RFC 2544 sets aside for tests, so they meet no real network. Each cluster takes a /22:
the link between host and node (`host_address`, `node_address`), the pods and the Services. From the host every pod, every Service
and the API server can be reached. Pods reach a server of the host at `host_address`, if it listens there or on 0.0.0.0. There
is no way further: a pod cannot reach the internet, and an image that was not imported cannot be pulled.
"""
