//! What is promised about the page: all of it is there, none of it comes from elsewhere, and no text can become code.

use axum::{body::Body, http::Request};
use tower::ServiceExt;

use super::*;

async fn fetch(settings: Settings, path: &str, known: Option<&str>) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::get(path);
    if let Some(tag) = known {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    let response = router(settings).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn all() -> impl Iterator<Item = &'static Asset> {
    std::iter::once(&PAGE).chain(ASSETS)
}

/// The values of an attribute in the page.
fn attributes(name: &str) -> Vec<&'static str> {
    let start = format!("{name}=\"");
    PAGE.text.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn every_file_that_the_page_names_is_served_with_its_type() {
    let named: Vec<&str> =
        attributes("href").into_iter().chain(attributes("src")).filter(|url| !url.starts_with('#')).collect();
    assert!(named.len() >= 5, "{named:?}");
    for url in named {
        let (status, headers, _) = fetch(Settings::default(), url, None).await;
        assert_eq!(status, 200, "{url}");
        let expected = match url.rsplit('.').next().unwrap() {
            "css" => STYLE,
            "js" => SCRIPT,
            _ => "image/svg+xml",
        };
        assert_eq!(headers["content-type"], expected, "{url}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
}

#[test]
fn every_import_of_a_module_is_an_asset_and_every_asset_is_used() {
    let mut used: Vec<&str> =
        attributes("href").into_iter().chain(attributes("src")).filter_map(|url| url.strip_prefix("/page/")).collect();
    for asset in ASSETS.iter().filter(|asset| asset.media_type == SCRIPT) {
        for import in asset.text.lines().filter(|line| line.starts_with("import ")) {
            let name = import.split("\"./").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            assert!(ASSETS.iter().any(|asset| asset.name == name), "{} imports {name}", asset.name);
            used.push(name);
        }
    }
    for asset in ASSETS {
        assert!(used.contains(&asset.name), "nothing uses {}", asset.name);
    }
}

#[test]
fn nothing_is_fetched_from_elsewhere() {
    for asset in all() {
        // The name of SVG's vocabulary looks like an address and is none.
        let text = asset.text.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http://", "https://", "\"//", "url(", "@import"] {
            assert!(!text.contains(outside), "{} has {outside}", asset.name);
        }
    }
}

#[test]
fn no_text_becomes_markup_or_code() {
    for asset in all().filter(|asset| asset.media_type == SCRIPT) {
        let ways = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "srcdoc",
            "DOMParser",
        ];
        for way in ways {
            assert!(!asset.text.contains(way), "{} uses {way}", asset.name);
        }
    }
    for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
        assert!(!PAGE.text.contains(inline), "the page has {inline}");
    }
    for script in PAGE.text.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').unwrap();
        assert!(tag.contains("src=\"/page/") && rest.starts_with("</script>"), "{script}");
    }
}

#[tokio::test]
async fn the_policy_allows_this_host_and_the_phones_and_nothing_else() {
    let (status, headers, _) = fetch(Settings::default(), "/", None).await;
    assert_eq!(status, 200);
    let policy = headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "connect-src 'self';",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");

    let phones = Settings { phones: Some("http://127.0.0.1:8090/".to_owned()), open: true };
    let (_, headers, _) = fetch(phones, "/", None).await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("connect-src 'self' http://127.0.0.1:8090;"), "{policy}");
    assert!(policy.contains("img-src 'self' data: http://127.0.0.1:8090;"), "{policy}");
}

#[tokio::test]
async fn a_setting_that_is_no_address_widens_nothing() {
    for text in ["*", "javascript:alert(1)", "data:text/html,x", "127.0.0.1:8090", "'unsafe-inline'"] {
        let settings = Settings { phones: Some(text.to_owned()), open: true };
        let (_, headers, _) = fetch(settings.clone(), "/", None).await;
        assert!(headers["content-security-policy"].to_str().unwrap().contains("connect-src 'self';"), "{text}");
        let (_, _, told) = fetch(settings, "/page/settings.json", None).await;
        assert_eq!(told, r#"{"open":true,"phones":null,"title":"relais"}"#, "{text}");
    }
    let settings = Settings { phones: Some("http://127.0.0.1:1;script-src *".to_owned()), open: true };
    let (_, headers, _) = fetch(settings, "/", None).await;
    assert!(!headers["content-security-policy"].to_str().unwrap().contains('*'));
}

#[tokio::test]
async fn the_settings_name_the_door_of_the_phones() {
    let settings = Settings { phones: Some("http://127.0.0.1:8090/".to_owned()), open: false };
    let (_, headers, body) = fetch(settings, "/page/settings.json", None).await;
    assert_eq!(body, r#"{"open":false,"phones":"http://127.0.0.1:8090","title":"relais"}"#);
    assert_eq!(headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_browser_that_has_a_file_is_told_so() {
    let (_, headers, _) = fetch(Settings::default(), "/page/app.js", None).await;
    let tag = headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(headers["cache-control"], "no-cache");
    let (status, _, body) = fetch(Settings::default(), "/page/app.js", Some(&tag)).await;
    assert_eq!((status.as_u16(), body.as_str()), (304, ""));
    let (status, ..) = fetch(Settings::default(), "/page/app.js", Some("\"another\"")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn no_other_file_is_served() {
    for path in ["/page/mod.rs", "/page/..%2Fmod.rs", "/page/page.html", "/page/"] {
        assert_eq!(fetch(Settings::default(), path, None).await.0, 404, "{path}");
    }
}
