//! How many SMS a text takes: GSM 03.38 with its extension table where every character is in it, else UCS-2.

const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Each takes two units: an escape and itself.
const EXTENDED: &str = "^{}\\[~]|€\u{c}";

/// The encoding and the number of parts. An empty text is one part.
pub(crate) fn parts(text: &str) -> (&'static str, usize) {
    let units: Option<Vec<usize>> = text.chars().map(gsm_units).collect();
    match units {
        // 160 units in one part; 153 in each of several, because the header that joins them takes seven.
        Some(units) => ("GSM-7", count(&units, 160, 153)),
        // 70 and 67 likewise, in 16-bit units.
        None => ("UCS-2", count(&text.chars().map(char::len_utf16).collect::<Vec<_>>(), 70, 67)),
    }
}

fn gsm_units(character: char) -> Option<usize> {
    if BASIC.contains(character) { Some(1) } else { EXTENDED.contains(character).then_some(2) }
}

/// A character of two units is not cut in half: it opens the next part.
fn count(units: &[usize], alone_max: usize, joined_max: usize) -> usize {
    if units.iter().sum::<usize>() <= alone_max {
        return 1;
    }
    let (parts, _) =
        units.iter().fold(
            (1, 0),
            |(parts, used), unit| {
                if used + unit > joined_max { (parts + 1, *unit) } else { (parts, used + unit) }
            },
        );
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_as_in_the_vectors() {
        let check = |text: String, encoding, wanted| assert_eq!(parts(&text), (encoding, wanted), "{text}");
        check("a".repeat(160), "GSM-7", 1);
        check("a".repeat(161), "GSM-7", 2);
        check("€".repeat(80), "GSM-7", 1);
        check("€".repeat(81), "GSM-7", 2);
        check("ê".repeat(70), "UCS-2", 1);
        check("ê".repeat(71), "UCS-2", 2);
        check("😀".repeat(35), "UCS-2", 1);
        check("😀".repeat(36), "UCS-2", 2);
        check(format!("{}€{}", "a".repeat(152), "b".repeat(10)), "GSM-7", 2);
        check("Votre commande est prête, à tout de suite !".into(), "UCS-2", 1);
        check("Votre commande est prete, à tout de suite !".into(), "GSM-7", 1);
        check("Reçu : 12,50 €".into(), "UCS-2", 1);
        check("Recu : 12,50 €".into(), "GSM-7", 1);
    }
}
