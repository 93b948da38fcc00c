"""The site map."""

from django.urls import URLPattern, path

from exports.views import comparisons, datasets, explorer, shared, snapshots

app_name = "exports"
urlpatterns: list[URLPattern] = [
    # The datasets of a workspace, and those that draw on a project
    path("w/<slug:slug>/datasets/", datasets.datasets, name="datasets"),
    path("w/<slug:slug>/datasets/new/", datasets.dataset_new, name="dataset_new"),
    path("projects/<int:pk>/datasets-panel/", datasets.project_panel, name="project_panel"),
    # Rules and test sets that datasets share
    path("w/<slug:slug>/rulesets/", shared.rulesets_page, name="rulesets"),
    path("rulesets/<int:pk>/", shared.ruleset, name="ruleset"),
    path("rulesets/<int:pk>/edit/", shared.ruleset_edit, name="ruleset_edit"),
    path("w/<slug:slug>/benchmarks/", shared.benchmarks_page, name="benchmarks"),
    path("benchmarks/<int:pk>/delete/", shared.benchmark_delete, name="benchmark_delete"),
    # A dataset
    path("datasets/<int:pk>/", datasets.dataset, name="dataset"),
    path("datasets/<int:pk>/edit/", datasets.dataset_edit, name="dataset_edit"),
    path("datasets/<int:pk>/figures/", datasets.figures, name="figures"),
    path("datasets/<int:pk>/weights/", datasets.weights, name="weights"),
    path("datasets/<int:pk>/count/", datasets.dataset_count, name="dataset_count"),
    path("datasets/<int:pk>/versions/", datasets.versions, name="versions"),
    path("datasets/<int:pk>/freeze/", datasets.dataset_freeze, name="dataset_freeze"),
    path("datasets/<int:pk>/rules/save/", shared.rules_save, name="rules_save"),
    path("datasets/<int:pk>/rules/<int:version>/", shared.rules_use, name="rules_use"),
    path("datasets/<int:pk>/explore/", explorer.explore, name="explore"),
    path("datasets/<int:pk>/explore/state/", explorer.explore_state, name="explore_state"),
    path("datasets/<int:pk>/explore/rows/<int:row>/", explorer.explore_row, name="explore_row"),
    path("datasets/<int:pk>/explore/rule/", explorer.explore_rule, name="explore_rule"),
    # A snapshot
    path("snapshots/<int:pk>/", snapshots.snapshot, name="snapshot"),
    path("snapshots/<int:pk>/about/", snapshots.snapshot_about, name="snapshot_about"),
    path("snapshots/<int:pk>/sign/", snapshots.snapshot_sign, name="snapshot_sign"),
    path("snapshots/<int:pk>/unsign/", snapshots.snapshot_unsign, name="snapshot_unsign"),
    path("snapshots/<int:pk>/plots/<str:name>", snapshots.plot, name="plot"),
    path("snapshots/<int:pk>/compare/", comparisons.choose, name="compare_choose"),
    path("snapshots/<int:pk>/compare/<int:old>/", comparisons.compare, name="compare"),
    path(
        "snapshots/<int:pk>/compare/<int:old>/rows/", comparisons.compare_rows, name="compare_rows"
    ),
    path("snapshots/<int:pk>/destroy/", snapshots.snapshot_destroy, name="snapshot_destroy"),
    path("erasures/<int:pk>/snapshots/", snapshots.erasure_panel, name="erasure_panel"),
    path("snapshots/<int:pk>/state/", snapshots.snapshot_state, name="snapshot_state"),
    path("snapshots/<int:pk>/download/<str:form>/", snapshots.download, name="download"),
]
