"""What there is to keep."""

from django.db import models


class Order(models.Model):
    """An order."""

    what = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.what
