"""The admin pages, and one of our own."""

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.urls import path
from orders.models import Order


def count(request: HttpRequest) -> JsonResponse:
    """Say how many orders there are."""
    return JsonResponse({"orders": Order.objects.count()})


urlpatterns = [path("admin/", admin.site.urls), path("", count)]
