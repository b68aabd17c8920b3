"""The data docs of a run: the pages of Great Expectations (GX) in our style, without requests to other hosts.

GX builds the site and its text. `gx/great_expectations.yml` names the two classes below: a view that takes
our templates instead of GX's, which load stylesheets and scripts from other hosts, and a table of results
with notes.
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

from lib.report.expectation_text import as_sentence
from lib.report.pages import FILTERS, TEMPLATES
from lib.report.run_records import DOCS
from lib.step.gate import add_suites, open_context

NULLS = ("expect_column_values_to_be_null", "expect_column_values_to_not_be_null")

TRIED = "Only observed, nothing follows from it. "


class DocsView(DefaultJinjaPageView):
    """GX's view of a page. It prefers our templates (`templates/data_docs`) to GX's and escapes all text."""

    def __init__(self, **folders: Any):
        super().__init__(**folders)
        self.env.loader = ChoiceLoader([FileSystemLoader([TEMPLATES / DOCS, TEMPLATES]), self.env.loader])
        self.env.filters |= FILTERS

    @pass_context
    def render_content_block(self, jinja_context: Any, content_block: Any, *arguments: Any,
                             **more: Any) -> Any:
        """Return a block as HTML, with its text escaped: GX does not escape a sample of failing values."""
        if isinstance(content_block, str):
            return escape(content_block)
        if isinstance(content_block, list):
            content_block = [escape(block) if isinstance(block, str) else block for block in content_block]
        return super().render_content_block(jinja_context, content_block, *arguments, **more)

    def render_string_template(self, template: Any) -> Any:
        """Return a text with its values. What GX makes a heading within our headings becomes plain text."""
        if isinstance(template, dict) and re.fullmatch("h[1-6]", template.get("tag", "")):
            template["tag"] = "span"
        return super().render_string_template(template)


class ResultsTable(ValidationResultsTableContentBlockRenderer):
    """GX's table of results, with the note of each expectation in a column of its own."""

    # GX has no public way to add a column to this table: both methods are its own, and private.

    @classmethod
    def _process_content_block(cls, content_block: Any, has_failed_evr: bool,
                               render_object: Any = None) -> None:
        super()._process_content_block(content_block, has_failed_evr, render_object)
        content_block.header_row = [*content_block.header_row, "Why it matters"]

    @classmethod
    def _get_content_block_fn(cls, expectation_type: str, expectation_config: Any = None) -> Callable:
        find_rows = super()._get_content_block_fn(expectation_type, expectation_config)

        def find_rows_with_notes(result: Any, **more: Any) -> list:
            config = result.expectation_config
            return [[status, _put_into_words(expectation, config), *others, _note(config)]
                    for status, expectation, *others in find_rows(result=result, **more)]

        return find_rows_with_notes


def _put_into_words(expectation: Any, config: Any) -> Any:
    """Return the text of an expectation, with "must be null" in words; failing values stay below it."""
    if config.type not in NULLS or config.kwargs.keys() - {"column", "batch_id"}:
        return expectation
    others = expectation[1:] if isinstance(expectation, list) else []
    return [f"{as_sentence(config.type, config.kwargs)}.", *others]


def _note(config: Any) -> str:
    is_tried = (config.meta or {}).get("on_failure") == "observe"
    return f"{TRIED if is_tried else ''}{config.notes or ''}"


def build_docs(folder: Path) -> None:
    """Render the results in a run's folder as data docs, in its `data_docs/`."""
    context = open_context(folder)
    add_suites(context)
    context.build_data_docs()
    shutil.rmtree(folder / DOCS / "static", ignore_errors=True)  # 4 MB that none of our templates uses
