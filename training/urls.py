"""The site map."""

from django.urls import URLPattern, path

from training.views import panels, runs, similar, train

app_name = "training"
urlpatterns: list[URLPattern] = [
    # /w/<slug>/
    path("w/<slug:slug>/runs/", runs.runs, name="runs"),
    path("w/<slug:slug>/runs/panel/", panels.home_panel, name="home_panel"),
    path("w/<slug:slug>/get-model/", panels.get_model, name="get_model"),
    # /runs/<pk>/
    path("runs/<int:pk>/", runs.run, name="run"),
    path("runs/<int:pk>/live/", runs.run_live, name="run_live"),
    path("runs/<int:pk>/log/", runs.run_log, name="run_log"),
    path("runs/<int:pk>/cancel/", runs.run_cancel, name="run_cancel"),
    path("runs/<int:pk>/resume/", runs.run_resume, name="run_resume"),
    path("runs/<int:pk>/answer/", runs.run_answer, name="run_answer"),
    path("runs/<int:pk>/evaluate/", runs.run_evaluate, name="run_evaluate"),
    path("runs/<int:pk>/evaluate/preflight/", runs.run_preflight, name="run_preflight"),
    # panels of other pages
    path("datasets/<int:pk>/train/", train.dataset_panel, name="dataset_panel"),
    path("datasets/<int:pk>/train/preflight/", train.preflight, name="preflight"),
    path("datasets/<int:pk>/train/start/", train.start, name="start"),
    path("datasets/<int:pk>/train/rlhf/", train.rlhf, name="rlhf"),
    path("datasets/<int:pk>/train/rlhf/preflight/", train.rlhf_preflight, name="rlhf_preflight"),
    path("snapshots/<int:pk>/runs/", panels.snapshot_panel, name="snapshot_panel"),
    path("erasures/<int:pk>/runs/", panels.erasure_panel, name="erasure_panel"),
    path("projects/<int:pk>/model-answers/", panels.project_panel, name="project_panel"),
    path("projects/<int:pk>/model-answers/start/", panels.project_answer, name="project_answer"),
    path("prompts/<int:pk>/similar/", similar.similar_panel, name="similar_panel"),
    path("prompts/<int:pk>/similar/start/", similar.similar_start, name="similar_start"),
    path("prompts/<int:pk>/similar/stop/", similar.similar_stop, name="similar_stop"),
]
