"""Workers: they schedule connections and never speak HTTP themselves."""

SUPPORTED_WORKERS = {
    "sync": "cyserve.workers.sync.SyncWorker",
    "gthread": "cyserve.workers.gthread.ThreadWorker",
    "gevent": "cyserve.workers.ggevent.GeventWorker",
    "gevent_wsgi": "cyserve.workers.ggevent.GeventPyWSGIWorker",
    "gevent_pywsgi": "cyserve.workers.ggevent.GeventPyWSGIWorker",
    "tornado": "cyserve.workers.gtornado.TornadoWorker",
}
