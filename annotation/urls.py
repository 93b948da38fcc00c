"""The site map."""

from django.urls import URLPattern, path

from annotation.views import (
    account,
    guidelines,
    home,
    imports,
    items,
    people,
    projects,
    prompts,
    rubrics,
    stages,
    turns,
    work,
)

app_name = "annotation"
urlpatterns: list[URLPattern] = [
    path("", home.home, name="home"),
    # A person's own account
    path("account/", account.account, name="account"),
    path("account/tokens/", account.token_issue, name="token_issue"),
    path("account/tokens/<int:pk>/revoke/", account.token_revoke, name="token_revoke"),
    # A workspace and its people
    path("workspaces/new/", people.workspace_new, name="workspace_new"),
    path("w/<slug:slug>/", home.workspace, name="workspace"),
    path("w/<slug:slug>/people/", people.people, name="people"),
    path("w/<slug:slug>/people/invite/", people.invite, name="invite"),
    path("w/<slug:slug>/projects/new/", projects.project_new, name="project_new"),
    path("invitations/<int:pk>/revoke/", people.invitation_revoke, name="invitation_revoke"),
    path("join/<str:secret>/", people.invitation, name="invitation"),
    path("members/<int:pk>/role/", people.member_role, name="member_role"),
    path("members/<int:pk>/deactivate/", people.member_deactivate, name="member_deactivate"),
    path("members/<int:pk>/reactivate/", people.member_reactivate, name="member_reactivate"),
    path("members/<int:pk>/reset/", people.member_reset, name="member_reset"),
    # A project
    path("projects/<int:pk>/", projects.project, name="project"),
    path("projects/<int:pk>/board/", projects.project_board, name="project_board"),
    path("projects/<int:pk>/settings/", projects.project_settings, name="project_settings"),
    path("projects/<int:pk>/archive/", projects.project_archive, name="project_archive"),
    path("projects/<int:pk>/restore/", projects.project_restore, name="project_restore"),
    path("projects/<int:pk>/guidelines/", guidelines.guidelines, name="guidelines"),
    path("projects/<int:pk>/guidelines/edit/", guidelines.guidelines_edit, name="guidelines_edit"),
    path("projects/<int:pk>/guidelines/read/", guidelines.guidelines_read, name="guidelines_read"),
    path("projects/<int:pk>/stages/new/", stages.stage_new, name="stage_new"),
    path("projects/<int:pk>/prompts/", prompts.prompts, name="prompts"),
    path("projects/<int:pk>/prompts/priority/", prompts.prompts_priority, name="prompts_priority"),
    path("projects/<int:pk>/prompts/new/", prompts.prompt_new, name="prompt_new"),
    path("projects/<int:pk>/imports/", imports.imports, name="imports"),
    path("projects/<int:pk>/export.jsonl", imports.export, name="export"),
    # An import
    path("imports/<int:pk>/", imports.import_, name="import"),
    path("imports/<int:pk>/progress/", imports.import_progress, name="import_progress"),
    path("imports/<int:pk>/change/", imports.import_change, name="import_change"),
    path("imports/<int:pk>/start/", imports.import_start, name="import_start"),
    path("imports/<int:pk>/cancel/", imports.import_cancel, name="import_cancel"),
    path("imports/<int:pk>/report/", imports.import_report, name="import_report"),
    # A stage
    path("stages/<int:pk>/", stages.stage, name="stage"),
    path("stages/<int:pk>/edit/", stages.stage_edit, name="stage_edit"),
    path("stages/<int:pk>/state/", stages.stage_state, name="stage_state"),
    path("stages/<int:pk>/rubric/", rubrics.rubric_edit, name="rubric_edit"),
    path("items/<int:pk>/release/", items.item_release, name="item_release"),
    path("items/<int:pk>/unflag/", items.item_unflag, name="item_unflag"),
    # The annotator's work in a stage
    path("stages/<int:pk>/work/", work.work, name="work"),
    path("stages/<int:pk>/work/draft/", work.work_draft, name="work_draft"),
    path("stages/<int:pk>/work/skip/", work.work_skip, name="work_skip"),
    path("stages/<int:pk>/work/flag/", work.work_flag, name="work_flag"),
    path("stages/<int:pk>/work/undo/", work.work_undo, name="work_undo"),
    path("stages/<int:pk>/work/preview/", work.work_preview, name="work_preview"),
    # What a person did in a stage
    path("stages/<int:pk>/turns/", turns.turns, name="turns"),
    path("turns/<int:pk>/", turns.turn, name="turn"),
    path("turns/<int:pk>/reopen/", turns.turn_reopen, name="turn_reopen"),
    path("turns/<int:pk>/complete/", turns.turn_complete, name="turn_complete"),
    # A prompt
    path("prompts/<int:pk>/", prompts.prompt, name="prompt"),
    path("prompts/<int:pk>/edit/", prompts.prompt_edit, name="prompt_edit"),
    path("prompts/<int:pk>/retire/", prompts.prompt_retire, name="prompt_retire"),
    path("prompts/<int:pk>/restore/", prompts.prompt_restore, name="prompt_restore"),
]
