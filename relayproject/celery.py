"""The Celery application: jobs are found in each app's tasks module, settings begin with CELERY_.

Everything that Celery keeps on the Redis server begins with the name of the store, so that two stores on one server
never take each other's jobs. Worker and beat end when the store gets another name; the supervisor starts them again.
"""

import os

from celery import Celery

from relay.storage.store import Store

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")

app = Celery("relay")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # of every thread: pages send jobs from threads that did not make it


def use_store(store: Store) -> None:
    """Have this process send and take jobs of `store` alone; to be called before its first connection to the broker."""
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "global_keyprefix": store.broker_prefix}
