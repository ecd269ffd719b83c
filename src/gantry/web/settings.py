"""The platform's settings, to read: they are changed where the platform runs."""

from dataclasses import dataclass
from typing import ClassVar

from fastapi import Request
from fastapi.responses import HTMLResponse

from gantry.config.setting_table import Scope
from gantry.features.platform.bodies import SettingBody, settings_of
from gantry.web.access import Owner
from gantry.web.frame import Page, frame_of
from gantry.web.noun import Noun
from gantry.web.render import render
from gantry.web.services import Has

noun = Noun("settings", "What an operator has set for this platform.")


@noun.api.get("/settings", summary="Read the platform's settings")
async def read_settings(services: Has, _caller: Owner) -> tuple[SettingBody, ...]:
    """Every setting with its value, its default and where the value comes from, as the control plane started with it."""
    return settings_of(services.settings, Scope.PLATFORM)


@dataclass(frozen=True, slots=True)
class SettingsPage(Page):
    """The platform's settings.

    Attributes:
        file: the settings file that was read, or would be.
    """

    template: ClassVar[str] = "settings"
    refreshes: ClassVar[bool] = False

    settings: tuple[SettingBody, ...]
    file: str


@noun.console.get("/settings")
async def settings_page(request: Request, services: Has, caller: Owner) -> HTMLResponse:
    """The settings with which the control plane started."""
    settings = services.settings
    page = SettingsPage(settings_of(settings, Scope.PLATFORM), str(settings.file or ""))
    return render(request, page, frame_of(services, caller, here="settings"))
