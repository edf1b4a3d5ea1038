//! Reading the proxy's credential.

use xllm_proxy::proto::Credential;

use crate::{exit::Failure, secret::Secret};

/// The credential, or what is wrong with it. Never shows the secret.
pub(crate) fn parse(key: &Secret) -> Result<Credential, Failure> {
    key.expose().parse().map_err(|error| {
        Failure::proxy(format!("the proxy key cannot be used: {error}"))
            .remedy("copy the whole line that `xllm-proxy client add NAME` printed, xllm1_ included")
    })
}

/// Its public ID.
pub(crate) fn id(key: &Secret) -> Result<String, Failure> {
    parse(key).map(|credential| credential.key_id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_credential_is_not_repeated() {
        for text in ["", "sk-hunter2", "xllm1_hunter2", "xllm1_hunter2!!"] {
            let said = id(&Secret::new(text)).expect_err("broken").to_string();
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
