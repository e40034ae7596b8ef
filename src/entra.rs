//! Sign-in of people with Entra: OpenID Connect, an id token by `form_post`, any organisation and personal accounts.

mod token;

use std::sync::Arc;

use time::OffsetDateTime;
use url::Url;

use crate::error::Fault;
use crate::keys::Keys;
use crate::keys::provider::Source;
use crate::person::Person;
use crate::settings::EntraSettings;

/// What we ask Entra for: who the person is. Both scopes every user may grant; none needs an administrator.
const SCOPE: &str = "openid profile";

/// Entra, as it signs people in. Clones share the keys.
#[derive(Clone, Debug)]
pub struct Entra {
    client_id: Arc<str>,
    keys: Keys,
}

/// What one sign-in asks of Entra.
#[derive(Clone, Copy)]
pub struct Signin<'a> {
    /// Comes back beside the token: names the attempt.
    pub state: &'a str,
    /// Comes back inside the token: binds it to the attempt.
    pub nonce: &'a str,
    /// Where the answer is posted: our `signin` function, as the app registration lists it.
    pub redirect_uri: &'a str,
    /// Whether the person is to choose an account even if only one is signed in.
    pub choose_account: bool,
}

impl Entra {
    /// Entra at `settings.authority`. Nothing is fetched until somebody signs in.
    pub fn new(settings: &EntraSettings, http: reqwest::Client) -> Self {
        let client_id = settings.client_id.as_str().into();
        Self { client_id, keys: Keys::new(Source::everybody(&settings.authority), http) }
    }

    /// How many keys there are to prove who signs in. Fetches them, unless they are fresh.
    ///
    /// # Errors
    ///
    /// [`Code::EntraUnavailable`](crate::error::Code::EntraUnavailable) where there are none to be had.
    pub async fn keys_at_hand(&self, now: OffsetDateTime) -> Result<usize, Fault> {
        self.keys.count(now).await
    }

    /// Where to send the browser to sign in.
    pub async fn authorize_url(&self, signin: &Signin<'_>, now: OffsetDateTime) -> Result<Url, Fault> {
        let mut url = self.keys.provider(None, now).await?.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("response_type", "id_token")
            .append_pair("response_mode", "form_post")
            .append_pair("scope", SCOPE)
            .append_pair("redirect_uri", signin.redirect_uri)
            .append_pair("state", signin.state)
            .append_pair("nonce", signin.nonce);
        if signin.choose_account {
            url.query_pairs_mut().append_pair("prompt", "select_account");
        }
        Ok(url)
    }

    /// The person whom `id_token` names, if Entra signed it for us, for this attempt, and it is valid `now`.
    ///
    /// # Errors
    ///
    /// [`Code::SigninFailed`](crate::error::Code::SigninFailed) if the token is proven wrong; [`Code::EntraUnavailable`](crate::error::Code::EntraUnavailable) if that cannot be told, because
    /// the keys cannot be had.
    pub async fn verify(&self, id_token: &str, nonce: &str, now: OffsetDateTime) -> Result<Person, Fault> {
        self.keys
            .prove(&token::KIND, id_token, now, |provider, key| {
                let expected = token::Expected { issuer: &provider.issuer, client_id: &self.client_id, nonce, now };
                token::verify(id_token, key, &expected)
            })
            .await
    }
}
