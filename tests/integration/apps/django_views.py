"""The views added to the fresh Django project of test_django."""

import hashlib
import os
from pathlib import Path

from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import path


def hello(request):
    return HttpResponse("hello")


def info(request):
    return JsonResponse(
        {
            "secure": request.is_secure(),
            "url": request.build_absolute_uri(),
            "pid": os.getpid(),
            "forwarded": request.headers.get("X-Forwarded-For"),
        }
    )


def upload(request):
    if request.method == "GET":
        return HttpResponse(get_token(request))
    sent = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in sent.chunks():
        digest.update(chunk)
    return JsonResponse(
        {
            "title": request.POST["title"],
            "name": sent.name,
            "size": sent.size,
            "sha256": digest.hexdigest(),
        }
    )


def stream(request):
    return StreamingHttpResponse(f"line {number}\n" * 100 for number in range(1000))


def file(request):
    return FileResponse(Path(os.environ["TEST_FILE"]).open("rb"), as_attachment=True)


urlpatterns = [
    path("hello", hello),
    path("info", info),
    path("upload", upload),
    path("stream", stream),
    path("file", file),
]
