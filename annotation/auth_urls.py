"""How people get in and out: Django's own views over our pages."""

from django.contrib.auth import views
from django.urls import path

from annotation.forms.people import LoginForm

# Django's form views take PUT for POST; ours take what pages send.
_FORM = {"http_method_names": ["get", "post", "head", "options"]}

urlpatterns = [
    path(
        "login/",
        views.LoginView.as_view(
            authentication_form=LoginForm, redirect_authenticated_user=True, **_FORM
        ),
        name="login",
    ),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("password/", views.PasswordChangeView.as_view(**_FORM), name="password_change"),
    path("password/done/", views.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("password/forgotten/", views.PasswordResetView.as_view(**_FORM), name="password_reset"),
    path(
        "password/forgotten/sent/",
        views.PasswordResetDoneView.as_view(),
        name="password_reset_done",
    ),
    path(
        "password/reset/<uidb64>/<token>/",
        views.PasswordResetConfirmView.as_view(**_FORM),
        name="password_reset_confirm",
    ),
    path(
        "password/reset/done/",
        views.PasswordResetCompleteView.as_view(),
        name="password_reset_complete",
    ),
]
