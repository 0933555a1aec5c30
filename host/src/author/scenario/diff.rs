//! Two texts, line by line.

/// A line, and in which of the two texts it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::author) enum Line {
    Both(String),
    Expected(String),
    Got(String),
}

/// Beyond this the quadratic comparison is not worth its memory: both texts are shown whole.
const LINES_MAX: usize = 400;

/// The shortest way from what was expected to what came.
pub(in crate::author) fn lines(expected: &str, got: &str) -> Vec<Line> {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    if a.len() > LINES_MAX || b.len() > LINES_MAX {
        let expected = a.into_iter().map(|line| Line::Expected(line.to_owned()));
        return expected.chain(b.into_iter().map(|line| Line::Got(line.to_owned()))).collect();
    }
    let common = lengths(&a, &b);
    let length = |i: usize, j: usize| common.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0);
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    loop {
        match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x == y => {
                found.push(Line::Both((*x).to_owned()));
                (i, j) = (i + 1, j + 1);
            }
            (Some(x), y) if y.is_none() || length(i + 1, j) >= length(i, j + 1) => {
                found.push(Line::Expected((*x).to_owned()));
                i += 1;
            }
            (_, Some(y)) => {
                found.push(Line::Got((*y).to_owned()));
                j += 1;
            }
            _ => return found,
        }
    }
}

/// For each pair of places, how many lines the rests have in common.
fn lengths(a: &[&str], b: &[&str]) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = Vec::with_capacity(a.len() + 1);
    let mut below = vec![0; b.len() + 1];
    rows.push(below.clone());
    for x in a.iter().rev() {
        let mut row = vec![0_usize];
        for (j, y) in b.iter().enumerate().rev() {
            let right = row.last().copied().unwrap_or(0);
            let down = below.get(j).copied().unwrap_or(0);
            let diagonal = below.get(j + 1).copied().unwrap_or(0);
            row.push(if x == y { diagonal + 1 } else { right.max(down) });
        }
        row.reverse();
        below.clone_from(&row);
        rows.push(row);
    }
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_marked() {
        let found = lines("a\nb\nc", "a\nx\nc\nd");
        let wanted = [
            Line::Both("a".into()),
            Line::Expected("b".into()),
            Line::Got("x".into()),
            Line::Both("c".into()),
            Line::Got("d".into()),
        ];
        assert_eq!(found, wanted);
        assert_eq!(lines("", "a"), [Line::Got("a".into())]);
        assert_eq!(lines("a", ""), [Line::Expected("a".into())]);
        assert_eq!(lines("", ""), []);
    }
}
