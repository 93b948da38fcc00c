"""For the operator: people, workspaces and who is in them. Work is done on the pages."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from annotation.models import ApiToken, Import, Membership, Project, User, Workspace


@admin.register(User)
class PersonAdmin(UserAdmin):
    ordering = ["email"]
    list_display = ["email", "name", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "name"]
    fieldsets = [
        (None, {"fields": ["email", "name", "password"]}),
        ("May", {"fields": ["is_active", "is_staff", "is_superuser"]}),
        ("When", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"fields": ["email", "name", "password1", "password2"]})]
    filter_horizontal = []


class MembershipInline(admin.TabularInline):
    model = Membership
    autocomplete_fields = ["user"]
    extra = 0


@admin.register(Workspace)
class WorkspaceAdmin(admin.ModelAdmin):
    list_display = ["name", "slug", "created"]
    # The salt decides the splits of everything frozen here.
    readonly_fields = ["salt"]
    inlines = [MembershipInline]


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    list_display = ["name", "workspace", "archived"]
    list_filter = ["workspace"]


class _ReadOnly(admin.ModelAdmin):
    def has_add_permission(self, request: object) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(_ReadOnly):
    list_display = ["prefix", "user", "name", "last_used", "revoked"]


@admin.register(Import)
class ImportAdmin(_ReadOnly):
    list_display = ["pk", "project", "filename", "source", "state", "created"]
    list_filter = ["state"]
