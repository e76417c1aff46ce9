"""The Django application that is served while measuring: hello, and a page of twenty rows.

A copy named `load_django.py` is put into the run's temporary directory, as `apps.py` is, beside the
database that `running.prepare` has filled: the servers only read it. Two of Django's usual
middleware classes are on, as in a new project; connections to the database are kept.
"""

import os

import django
from django.conf import settings

HERE = os.path.dirname(os.path.abspath(__file__))
settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="measured and thrown away",
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.path.join(HERE, "items.sqlite3"),
            "CONN_MAX_AGE": None,
        }
    },
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    (
                        "django.template.loaders.locmem.Loader",
                        {
                            "page": """<!doctype html>
<title>{{ title }}</title>
<ul>
{% for item in items %}<li class="{% cycle 'odd' 'even' %}">{{ item.name }}: {{ item.price }}</li>
{% endfor %}</ul>
"""
                        },
                    )
                ]
            },
        }
    ],
)
django.setup()

# Only now: Django wants its settings before these are imported.
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.urls import path  # noqa: E402


class Item(models.Model):
    name = models.CharField(max_length=80)
    price = models.IntegerField()

    class Meta:
        app_label = "load"
        db_table = "item"


def hello(request):
    return HttpResponse("Hello, World!", content_type="text/plain")


def page(request):
    items = Item.objects.filter(price__gte=100).order_by("name")[:20]
    return render(request, "page", {"title": "Items", "items": items})


urlpatterns = [path("", hello), path("page", page)]
app = get_wsgi_application()
