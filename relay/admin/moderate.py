"""The page of one task of an operator: a form, what it does, and its entry in the log of actions."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import SafeString

from relay.admin.action_log import log_action
from relay.admin.formatting import isolated
from relay.admin.moderation_tasks import TASKS, Task
from relay.services.moderation import CannotModerate


def moderate(request: HttpRequest, task: str) -> HttpResponse:
    """GET: the form, filled from the query; POST: do it, log it, return to `next`. Raises PermissionDenied, Http404."""
    found = TASKS.get(task)
    if found is None:
        raise Http404("There is no such task.")
    if not may(request, task):
        raise PermissionDenied
    initial = {name: value for name, value in request.GET.items() if name in found.form.base_fields}
    form = found.form(request.POST) if request.method == "POST" else found.form(initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            subject, details = found.run(form.cleaned_data, request.user.get_username())
        except CannotModerate as error:
            form.add_error("target" if not form.fields["target"].widget.is_hidden else None, str(error))
        else:
            log_action(request, subject, details)
            messages.success(request, f"{subject}: {details}"[:300])
            return HttpResponseRedirect(_next(request, found))
    context = {
        **admin.site.each_context(request),
        "title": found.title,
        "task": found,
        "form": form,
        "subject": isolated(form["target"].value() or "", 200) if form.fields["target"].widget.is_hidden else "",
        "next": _next(request, found),
    }
    return TemplateResponse(request, "admin/relay/moderate.html", context, status=400 if form.errors else 200)


def _next(request: HttpRequest, task: Task) -> str:
    """Where to go afterwards: a page of this site that was named, else the list of the task."""
    given = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(given, allowed_hosts=None, require_https=request.is_secure()):
        return given
    return reverse(f"admin:{task.back}")


def may(request: HttpRequest, name: str) -> bool:
    """Whether the operator may do a task."""
    return bool(request.user.has_perm(TASKS[name].permission))


def task_link(name: str, label: str, target: str, back: str = "") -> SafeString:
    """A button that opens the page of a task, filled, for operators who `may`. `back`: where it returns to."""
    query = {"target": target, **({"next": back} if back else {})}
    url = f"{reverse('admin:relay_bannedkey_do', args=[name])}?{urlencode(query)}"
    return format_html('<a class="relay-task" href="{}">{}</a>', url, label)
