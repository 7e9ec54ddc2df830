"""django-unfold's ModelAdmin with the types of Django's."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin as _UnfoldModelAdmin

    class ModelAdmin(_UnfoldModelAdmin):
        """unfold's ModelAdmin, subscriptable as in Django's stubs."""

        def __class_getitem__(cls, _model: Any) -> Any:
            return cls


__all__ = ["ModelAdmin"]
