//! Aligned columns.

use std::fmt;

/// A cell; a dash for what is not known.
pub(crate) fn or_dash(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Rows under a heading. Columns of numbers are flush right, others flush left.
pub(crate) struct Table<const COLUMNS: usize> {
    heading: [&'static str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(crate) fn new(heading: [&'static str; COLUMNS]) -> Self {
        let rows = Vec::new();
        Self { heading, rows }
    }

    pub(crate) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    /// Without a line end after the last row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: [Column; COLUMNS] =
            std::array::from_fn(|at| Column::measure(self.heading[at], &self.rows, at));
        write_row(f, &columns, &self.heading)?;
        for row in &self.rows {
            f.write_str("\n")?;
            write_row(f, &columns, row)?;
        }
        Ok(())
    }
}

struct Column {
    width: usize,
    is_numeric: bool,
}

impl Column {
    fn measure<const COLUMNS: usize>(heading: &str, rows: &[[String; COLUMNS]], at: usize) -> Self {
        let widest = rows.iter().map(|row| row[at].chars().count()).max();
        Self {
            width: heading.len().max(widest.unwrap_or(0)),
            is_numeric: rows.iter().all(|row| is_number(&row[at])),
        }
    }
}

/// Or `-`, which stands for a number that is not known.
fn is_number(cell: &str) -> bool {
    let is_numeric = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    cell == "-" || (!cell.is_empty() && cell.bytes().all(is_numeric))
}

fn write_row(
    f: &mut fmt::Formatter<'_>,
    columns: &[Column],
    cells: &[impl AsRef<str>],
) -> fmt::Result {
    let last = columns.len() - 1;
    for (at, (column, cell)) in columns.iter().zip(cells).enumerate() {
        let (cell, width) = (cell.as_ref(), column.width);
        match column.is_numeric {
            true => write!(f, "{cell:>width$}")?,
            // Nothing after the last cell, so that no line ends in spaces.
            false if at == last => f.write_str(cell)?,
            false => write!(f, "{cell:<width$}")?,
        }
        if at != last {
            f.write_str("  ")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_flush_left_and_numbers_are_flush_right() {
        let mut table = Table::new(["TOPIC", "PARTITIONS", "NODES"]);
        table.row(["orders".into(), "12".into(), "1,2,3".into()]);
        table.row(["a".into(), "-".into(), "2".into()]);
        assert_eq!(
            table.to_string(),
            "TOPIC   PARTITIONS  NODES\n\
             orders          12  1,2,3\n\
             a                -  2"
        );
    }

    #[test]
    fn no_line_ends_in_spaces() {
        let mut table = Table::new(["PARTITION", "REPLICAS"]);
        table.row(["0".into(), String::new()]);
        table.row(["1".into(), "1,2".into()]);
        let lines = table.to_string();
        assert!(lines.lines().skip(2).all(|line| !line.ends_with(' ')));
    }

    #[test]
    fn an_empty_table_has_its_heading() {
        assert_eq!(Table::new(["TOPIC", "ID"]).to_string(), "TOPIC  ID");
    }
}
