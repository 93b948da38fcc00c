"""How people get in and out: Django's own views over our pages."""

from django.contrib.auth import views
from django.urls import path
from django.views.decorators.http import require_http_methods

from annotation.forms.people import LoginForm

# Django's form views take PUT for POST and more; ours take what pages send.
page_with_form = require_http_methods(["GET", "HEAD", "POST"])

urlpatterns = [
    path(
        "login/",
        page_with_form(
            views.LoginView.as_view(authentication_form=LoginForm, redirect_authenticated_user=True)
        ),
        name="login",
    ),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("password/", page_with_form(views.PasswordChangeView.as_view()), name="password_change"),
    path("password/done/", views.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path(
        "password/forgotten/",
        page_with_form(views.PasswordResetView.as_view()),
        name="password_reset",
    ),
    path(
        "password/forgotten/sent/",
        views.PasswordResetDoneView.as_view(),
        name="password_reset_done",
    ),
    path(
        "password/reset/<uidb64>/<token>/",
        page_with_form(views.PasswordResetConfirmView.as_view()),
        name="password_reset_confirm",
    ),
    path(
        "password/reset/done/",
        views.PasswordResetCompleteView.as_view(),
        name="password_reset_complete",
    ),
]
