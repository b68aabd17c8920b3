"""The data docs of a run: the pages of Great Expectations (GX) in the dress of ours. They ask nothing of the network.

GX builds the site and says what is in its pages; `gx/great_expectations.yml` names the two classes below: GX's view with our
templates before its own, which name stylesheets and scripts of other hosts, and GX's table of results with the notes.
"""

import re
import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from great_expectations.render.renderer.content_block import ValidationResultsTableContentBlockRenderer
from great_expectations.render.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader, FileSystemLoader, pass_context

from lib.report.pages import FILTERS, TEMPLATES
from lib.report.run_records import DOCS
from lib.step.gate import open_context


class DocsView(DefaultJinjaPageView):
    """GX's view of a page, with the templates of `lib/report/templates/data_docs` before its own and text from data escaped."""

    def __init__(self, **folders: Any):
        super().__init__(**folders)
        self.env.loader = ChoiceLoader([FileSystemLoader([TEMPLATES / DOCS, TEMPLATES]), self.env.loader])
        self.env.filters |= FILTERS

    @pass_context
    def render_content_block(self, jinja_context: Any, content_block: Any, *arguments: Any, **more: Any) -> Any:
        """Return a block as HTML. GX writes plain text, such as a sample of failing values, as it is: here it is escaped."""
        if isinstance(content_block, str):
            return escape(content_block)
        if isinstance(content_block, list):
            content_block = [escape(block) if isinstance(block, str) else block for block in content_block]
        return super().render_content_block(jinja_context, content_block, *arguments, **more)

    def render_string_template(self, template: Any) -> Any:
        """Return a text with its values. GX makes small headings of some, within headings of ours: here they are plain."""
        if isinstance(template, dict) and re.fullmatch("h[1-6]", template.get("tag", "")):
            template["tag"] = "span"
        return super().render_string_template(template)


class ResultsTable(ValidationResultsTableContentBlockRenderer):
    """GX's table of results, with the note of each expectation in a column of its own."""

    @classmethod
    def _process_content_block(cls, content_block: Any, has_failed_evr: bool, render_object: Any = None) -> None:
        super()._process_content_block(content_block, has_failed_evr, render_object)
        content_block.header_row = [*content_block.header_row, "Why it matters"]

    @classmethod
    def _get_content_block_fn(cls, expectation_type: str, expectation_config: Any = None) -> Callable:
        find_rows = super()._get_content_block_fn(expectation_type, expectation_config)

        def find_rows_with_notes(result: Any, **more: Any) -> list:
            return [[*row, result.expectation_config.notes or ""] for row in find_rows(result=result, **more)]

        return find_rows_with_notes


def build_docs(folder: Path) -> None:
    """Render the data docs of the results in a run's folder, to `data_docs/` in it. Old runs' docs are not touched."""
    open_context(folder).build_data_docs()
    shutil.rmtree(folder / DOCS / "static", ignore_errors=True)  # pictures and fonts that no page of ours asks for: 4 MB
