"""The first table, as `makemigrations` made it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Make orders."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("what", models.CharField(max_length=100)),
            ],
        ),
    )
