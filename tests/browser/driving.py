"""Chromium under Selenium: start it, wait for things, take pictures."""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.support.programs import Missing

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1280,1000")
SECONDS = 40
RELOADED = "return performance.timeOrigin"


def start_chromium(profile: Path, downloads: Path | None = None) -> webdriver.Chrome:
    """A browser that keeps its console's messages; raises Missing without chromium or chromedriver."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        raise Missing("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads or profile)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, Service(driver))


def complaints(browser: webdriver.Chrome) -> list[str]:
    """The console's messages since the last call: violations of the content policy, failed scripts."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


class Hand:
    """A user's steps in the browser on one site."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser, self.url = browser, url

    def open(self, path: str) -> None:
        """Go to a page of the site."""
        self.browser.get(self.url + path)

    def find(self, selector: str) -> WebElement:
        """The first element, once it is there."""
        return self.all(selector)[0]

    def all(self, selector: str) -> list[WebElement]:
        """All elements, once there is one."""
        wait = WebDriverWait(self.browser, SECONDS)
        return wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, selector), f"no {selector}")

    def has(self, selector: str) -> bool:
        """Whether there is one now."""
        return bool(self.browser.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector: str) -> str:
        """Its visible text."""
        return self.find(selector).text

    def number(self, selector: str) -> int:
        """Its text as a whole number."""
        return int(self.text(selector).replace(",", ""))

    def write(self, selector: str, text: str) -> None:
        """Replace what a field holds."""
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def choose(self, selector: str, text: str) -> None:
        """Choose from a drop-down field by what it shows."""
        Select(self.find(selector)).select_by_visible_text(text)

    def press(self, selector: str) -> None:
        """Click on what leads to another page, and wait for that page."""
        before = self.browser.execute_script(RELOADED)
        element = self.find(selector)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        self.wait(lambda: self.browser.execute_script(RELOADED) != before, f"the page after {selector}")

    def follow(self, text: str) -> None:
        """Click on a link by its text."""
        self.open(self._path_of(text))

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """What the condition returns once it is true."""
        gone = [StaleElementReferenceException]  # a page that reloads itself takes its elements away
        return WebDriverWait(self.browser, SECONDS, ignored_exceptions=gone).until(lambda _: condition(), what)

    def sign_in(self, name: str, password: str) -> None:
        """By the admin's form."""
        self.open("/admin/login/?next=/admin/")
        self.write("#id_username", name)
        self.write("#id_password", password)
        self.press("[type=submit]")

    def _path_of(self, text: str) -> str:
        target = self.browser.find_element(By.PARTIAL_LINK_TEXT, text).get_attribute("href")
        return str(target).removeprefix(self.url)


def picture(browser: webdriver.Chrome, path: Path, *, width: int, dark: bool, most: int = 4000) -> int:
    """Write a PNG of the page, at most so many pixels high; returns how many pixels stick out to the right."""
    theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    area = {"x": 0, "y": 0, "width": width, "height": min(page["height"], most), "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": area})
    path.write_bytes(base64.b64decode(shot["data"]))
    return int(page["width"]) - width
