"""django-unfold's base class, with the types of Django's that it replaces."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin as _UnfoldModelAdmin

    class ModelAdmin(_UnfoldModelAdmin):
        """Subscriptable, as Django's stubs have it."""

        def __class_getitem__(cls, _model: Any) -> Any:
            return cls


__all__ = ["ModelAdmin"]
