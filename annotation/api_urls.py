"""The API's site map."""

from django.urls import URLPattern, path

from annotation import api, api_imports, api_order, api_quality, api_review

urlpatterns: list[URLPattern] = [
    path("projects/", api.Projects.as_view(), name="api-projects"),
    path("projects/<int:pk>/", api.OneProject.as_view(), name="api-project"),
    path("projects/<int:pk>/stages/", api.Stages.as_view(), name="api-stages"),
    path("projects/<int:pk>/prompts/", api.Prompts.as_view(), name="api-prompts"),
    path("projects/<int:pk>/submissions/", api.Submissions.as_view(), name="api-submissions"),
    path("projects/<int:pk>/imports/", api_imports.Imports.as_view(), name="api-imports"),
    path("stages/<int:pk>/", api.OneStage.as_view(), name="api-stage"),
    path("stages/<int:pk>/order/", api_order.StageOrder.as_view(), name="api-stage-order"),
    path("stages/<int:pk>/priority/", api_order.StagePriority.as_view(), name="api-stage-priority"),
    path("stages/<int:pk>/quality/", api_quality.StageQuality.as_view(), name="api-stage-quality"),
    path("prompts/<int:pk>/", api.OnePrompt.as_view(), name="api-prompt"),
    path("submissions/<int:pk>/", api.OneSubmission.as_view(), name="api-submission"),
    path(
        "submissions/<int:pk>/review/",
        api_review.SubmissionReview.as_view(),
        name="api-submission-review",
    ),
    path(
        "items/<int:pk>/adjudication/",
        api_review.ItemAdjudication.as_view(),
        name="api-item-adjudication",
    ),
    path("items/<int:pk>/gold/", api_review.ItemGold.as_view(), name="api-item-gold"),
    path("imports/<int:pk>/", api_imports.OneImport.as_view(), name="api-import"),
    path("imports/<int:pk>/start/", api_imports.StartImport.as_view(), name="api-import-start"),
    path("imports/<int:pk>/cancel/", api_imports.CancelImport.as_view(), name="api-import-cancel"),
]
