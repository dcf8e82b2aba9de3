//! Aligned columns. Cells are escaped here, so that no name can break a line or a column.

use super::terminal::shown;

/// Space between columns.
const GAP: &str = "  ";

/// Rows below headers. A header that starts with `>` aligns its column to the right.
pub(super) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(headers: impl IntoIterator<Item = &'static str>) -> Self {
        Self { headers: headers.into_iter().collect(), rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| shown(cell)).collect());
    }

    /// The table, or one sentence where there is nothing to show.
    pub(super) fn or(&self, empty: &str) -> String {
        if self.rows.is_empty() { format!("{}\n", shown(empty)) } else { self.text() }
    }

    fn text(&self) -> String {
        let headers: Vec<String> = self.headers.iter().map(|header| header.trim_start_matches('>').to_owned()).collect();
        let width =
            |column: usize| self.rows.iter().chain([&headers]).filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..headers.len()).map(|column| width(column).unwrap_or_default()).collect();
        let mut text = String::new();
        for row in [&headers].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let fill = " ".repeat(width - cell.chars().count());
                let right = self.headers[column].starts_with('>');
                let (before, after) = if right { (fill.as_str(), "") } else { ("", fill.as_str()) };
                line.extend([if column > 0 { GAP } else { "" }, before, cell, after]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// One fact a line, values aligned.
#[derive(Default)]
pub(super) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    pub(super) fn add(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, shown(&value.into())));
        self
    }

    /// Adds the fact when it is known.
    pub(super) fn maybe(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.add(name, value),
            None => self,
        }
    }

    pub(super) fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        self.0.iter().map(|(name, value)| format!("{}\n", format!("{name:width$}{GAP}{value}").trim_end())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_names_cannot_break_them() {
        let mut table = Table::new(["NAME", ">FILES", "PATH"]);
        table.row(["größe".into(), "7".into(), "/opt/a\nfake  THREAT".into()]);
        table.row(["b".into(), "12,345".into(), String::new()]);
        assert_eq!(table.or("none"), "NAME    FILES  PATH\ngröße       7  /opt/a\\nfake  THREAT\nb      12,345\n");
    }

    #[test]
    fn an_empty_table_is_a_sentence() {
        assert_eq!(Table::new(["NAME"]).or("there are no hosts yet"), "there are no hosts yet\n");
    }

    #[test]
    fn facts_line_up() {
        let facts = Facts::default().add("id", "1").maybe("name", Some("web\u{1b}")).maybe("left out", None::<String>);
        assert_eq!(facts.text(), "id    1\nname  web\\x1b\n");
    }
}
