"""The pages: where one is, and an order form."""

from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import path, reverse


def here(request):
    return JsonResponse(
        {
            "uri": request.build_absolute_uri(),
            "secure": request.is_secure(),
            "script_name": request.META["SCRIPT_NAME"],
            "path_info": request.path_info,
            "peer": request.META["REMOTE_ADDR"],
            "client": request.headers["X-Forwarded-For"],
            "order": reverse("order"),
            "static": static("shop.css"),
        }
    )


def order(request):
    if request.method == "POST":
        return redirect("here")
    return HttpResponse(get_token(request))


urlpatterns = [path("here/", here, name="here"), path("order/", order, name="order")]
