//! What a request goes to: the origin that is judged, and the URI that is called.

use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use url::{Position, Url};

use super::refusal;
use crate::proto::{Code, frame::Notice};

/// A URL that the relay can call: absolute, `https` or `http`, with a host, without user name or fragment.
///
/// Two readers of one text are a way around an allow-list, so each part is read once. Scheme, host and port are the URL
/// parser's: they are judged, and they are what is called. Path and query are the client's bytes, which no parser has mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Without the path, so that nothing is judged by what the parser makes of it: it pops dot segments, and the upstream
    /// may not. A rule about paths must look at [`Target::uri`], and refuse dot segments in every spelling (`..`, `%2e%2e`,
    /// `.%2E`), because the upstream may pop those that were judged as names.
    origin: Url,
    uri: Uri,
}

impl Target {
    /// Scheme, host and port in the parser's spelling: what an allow-list judges.
    pub fn origin(&self) -> &Url {
        &self.origin
    }

    /// The host in the parser's spelling.
    pub fn host(&self) -> &str {
        self.origin.host_str().unwrap_or_default()
    }

    /// What is called: the origin that was judged; path and query byte for byte as they were written.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// Reads a URL that the relay can call.
///
/// # Errors
/// `request-invalid` or `scheme-not-allowed`. The text does not repeat the URL: its query may hold a key.
pub fn check_url(text: &str) -> Result<Target, Notice> {
    let malformed = || invalid("is not a valid absolute URL such as https://api.openai.com/v1/models");
    // The parser would mend these, each in its own way: what is called should be what was written.
    let mended = |byte: u8| byte <= b' ' || byte == b'\\' || byte == 0x7f;
    if text.bytes().any(mended) {
        return Err(malformed());
    }
    let (written, rest) = text.split_once("://").ok_or_else(malformed)?;
    let mut origin = Url::parse(text).map_err(|_| malformed())?;
    let scheme = match origin.scheme() {
        "https" => Scheme::HTTPS,
        "http" => Scheme::HTTP,
        _ => return Err(refusal(Code::SchemeNotAllowed, "the relay calls https and http URLs only")),
    };
    if text.contains('#') {
        return Err(invalid("has a fragment (#…), which HTTP does not send"));
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    // The parser finds a host behind any number of slashes, or none.
    if !written.eq_ignore_ascii_case(origin.scheme()) || authority.is_empty() {
        return Err(malformed());
    }
    if authority.contains('@') {
        return Err(invalid("holds a user name or password; put it in a header"));
    }
    let path = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    let path = PathAndQuery::try_from(path)
        .map_err(|_| invalid("has a character in its path or query that must be percent-encoded"))?;
    let unnameable = || invalid("has a host that HTTP cannot name");
    let authority = Authority::try_from(&origin[Position::BeforeHost..Position::AfterPort]).map_err(|_| unnameable())?;
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().map_err(|_| unnameable())?;
    // Both read the parser's own spelling here; were they ever to differ, what was judged is not what is called.
    if (uri.host(), uri.port_u16()) != (origin.host_str(), origin.port()) {
        return Err(unnameable());
    }
    origin.set_path("");
    origin.set_query(None);
    Ok(Target { origin, uri })
}

fn invalid(why: &str) -> Notice {
    refusal(Code::RequestInvalid, format!("the URL {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "https://api.openai.com";

    #[track_caller]
    fn target(url: &str) -> Target {
        check_url(url).unwrap_or_else(|notice| panic!("{url}: {notice:?}"))
    }

    #[track_caller]
    fn refused(url: &str) -> Notice {
        check_url(url).expect_err(url)
    }

    #[test]
    fn path_and_query_are_called_byte_for_byte() {
        for path in [
            "/",
            "//",
            "/v1/models",
            "/v1/models/",
            "/v1//models///",
            "/.",
            "/..",
            "/../../etc/passwd",
            "/v1/./a/../b",
            "/v1/%2e%2e/%2E./x",
            "/%2F%2f%41%zz%",
            "//api.anthropic.com/x",
            "/@evil.example/",
            "/:80/a:b@c;d=e,f",
            "/http://evil.example/?u=https://x@y",
            "/a|b^c[d]e{f}\"g\"'h'!$&()*+~",
            "/?",
            "/??",
            "/v1?",
            "/v1/?a=",
            "/v1?a=1&a=2&&b",
            "/v1?q='x'&r={y}|`^[]",
            "/v1?q=a/../b/%2e%2e/%20+",
            "/v1?u=http://x:1/?y@z",
            "/größe?q=größe",
            "/\u{2f}\u{ff0f}\u{202e}",
        ] {
            let target = target(&format!("{HOST}{path}"));
            assert_eq!(target.uri().path_and_query().map(PathAndQuery::as_str), Some(path));
            assert_eq!(target.uri().to_string(), format!("{HOST}{path}"));
        }
    }

    #[test]
    fn an_empty_path_is_the_root_and_nothing_else_is_added() {
        for (url, path) in [("", "/"), ("?", "/?"), ("?a=/b", "/?a=/b"), ("?/@evil.example", "/?/@evil.example")] {
            let target = target(&format!("{HOST}{url}"));
            assert_eq!(target.uri().to_string(), format!("{HOST}{path}"));
        }
    }

    #[test]
    fn what_is_called_is_the_origin_that_is_judged() {
        for (url, origin) in [
            ("https://api.openai.com/v1", "https://api.openai.com"),
            ("HTTPS://API.OpenAI.com/v1", "https://api.openai.com"),
            ("https://api.openai.com:443/v1", "https://api.openai.com"),
            ("http://api.openai.com:80", "http://api.openai.com"),
            ("http://api.openai.com:443", "http://api.openai.com:443"),
            ("https://api.openai.com:/v1", "https://api.openai.com"),
            ("https://api.openai.com:0443/v1", "https://api.openai.com"),
            ("https://api.openai.com:8443?x", "https://api.openai.com:8443"),
            ("https://api.openai.com./v1", "https://api.openai.com."),
            ("https://api%2eopenai%2Ecom/v1", "https://api.openai.com"),
            ("https://ａpi.openai。com/v1", "https://api.openai.com"),
            ("https://bücher.example/", "https://xn--bcher-kva.example"),
            ("http://0x7f.1/", "http://127.0.0.1"),
            ("http://2130706433:8080/", "http://127.0.0.1:8080"),
            ("http://127.1./", "http://127.0.0.1"),
            ("http://[::1]:8080/x", "http://[::1]:8080"),
            ("https://[2001:DB8:0::1]/x", "https://[2001:db8::1]"),
            ("https://[::ffff:127.0.0.1]/x", "https://[::ffff:7f00:1]"),
        ] {
            let target = target(url);
            assert_eq!(target.origin().as_str(), format!("{origin}/"), "{url}");
            let uri = target.uri();
            let called = format!("{}://{}", uri.scheme_str().expect("absolute"), uri.authority().expect("absolute"));
            assert_eq!(called, origin, "{url}");
            assert_eq!(uri.host(), Some(target.host()), "{url}");
        }
    }

    #[test]
    fn a_text_that_two_readers_could_take_for_two_hosts_is_refused() {
        for url in [
            "https://api.openai.com@evil.example/",
            "https://api.openai.com:x@evil.example/",
            "https://evil.example@api.openai.com/",
            "https://@api.openai.com/",
            "https://:@api.openai.com/",
            "https://a@b@api.openai.com/",
            "https://api.openai.com\\@evil.example/",
            "https://api.openai.com\\.evil.example/",
            "https:\\\\api.openai.com/",
            "https://evil.example#@api.openai.com/",
            "https://evil.example/#@api.openai.com/",
            "https://evil.example/?#x",
            "https:///api.openai.com/",
            "https:////evil.example/@api.openai.com",
            "https:/api.openai.com/?://",
            "https:api.openai.com/://x",
            "//api.openai.com/",
            "https://api.openai.com%2f@evil.example/",
            "https://api.openai.com%2f.evil.example/",
            "https://api.openai.com／.evil.example/",
            "https://api.openai.com:443:80/",
            "https://api.openai.com:evil.example/",
            "https://[::1]evil.example/",
            "https://[::1%25eth0]/",
            "https://?@api.openai.com/",
            "https://api.ope\tnai.com/",
            "https://api.openai.com\n.evil.example/",
        ] {
            assert_eq!(refused(url).code, Code::RequestInvalid, "{url}");
        }
    }

    #[test]
    fn what_a_request_line_cannot_hold_is_refused_and_not_encoded() {
        for bad in ["/ ", "/<", "/>", "/`", "/? ", "/?\"", "/?<", "/?>", "/\r\nx: y", "/\0", "/\x7f", "/\\"] {
            let notice = refused(&format!("{HOST}{bad}secret"));
            assert_eq!(notice.code, Code::RequestInvalid, "{bad}");
            assert!(!notice.text.contains("secret"), "{}", notice.text);
        }
        assert!(refused(&format!("{HOST}/?<")).text.contains("percent-encoded"));
    }

    #[test]
    fn only_callable_urls_pass() {
        for url in ["ftp://example.com/", "file:///etc/passwd", "wss://example.com/"] {
            assert_eq!(refused(url).code, Code::SchemeNotAllowed, "{url}");
        }
        for url in [
            "",
            "/v1/models",
            "https://",
            "https:///",
            "https://:443/",
            "https://u:p@example.com/",
            "https://example.com/#x",
            "http://[::1",
            " https://example.com/",
            "https://example.com/ ",
            "https:example.com/",
            "https:/example.com/",
            "https:\\\\example.com",
            "https://exa\tmple.com/",
        ] {
            assert_eq!(refused(url).code, Code::RequestInvalid, "{url}");
        }
    }
}
