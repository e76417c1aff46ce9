"""Workers: they schedule connections and never speak HTTP themselves."""

SUPPORTED_WORKERS = {
    "sync": "cyserve.workers.sync.SyncWorker",
    "gthread": "cyserve.workers.gthread.ThreadWorker",
}
