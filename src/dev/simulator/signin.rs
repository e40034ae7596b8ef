//! Where people sign in: one button per person, and the self-submitting form that carries the answer back.

use askama::Template;

use super::claims::{authority, id_token_claims, short};
use super::people::{PEOPLE, PERSONAL_TENANT, Person, person};
use super::{Options, SIGNIN_CLIENT_ID, Signature, State};
use crate::web::{Reply, Request};

const HTML: &str = "text/html; charset=utf-8";

/// The parameters of an authorization request, which travel with the buttons.
const PARAMETERS: [&str; 7] =
    ["client_id", "response_type", "response_mode", "redirect_uri", "scope", "nonce", "state"];

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in (simulator)</title>
<style>
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #eef1f6; color: #1b1f29;
         font: 1rem/1.5 system-ui, sans-serif; }
  main { box-sizing: border-box; width: min(26rem, 100%); padding: 1.5rem; background: #fff; border-radius: .75rem;
         box-shadow: 0 1px 12px #0002; }
  h1 { font-size: 1.3rem; margin: 0 0 .25rem; } p { margin: 0 0 1rem; color: #555c6b; }
  button { display: block; width: 100%; margin: .5rem 0; padding: .7rem 1rem; text-align: left; font: inherit;
           border: 1px solid #c3c9d6; border-radius: .5rem; background: #fff; cursor: pointer; }
  button:hover { background: #f2f6ff; border-color: #2457d6; }
  button.cancel { border: 0; color: #2457d6; }
</style></head>
<body><main>
<h1>Pick an account</h1>
<p>The simulator's stand-in for Microsoft Entra. Nobody needs a password here.</p>
<form method="post" action="{{ action }}">
{% for (name, value) in fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}{% for person in people %}<button name="person" value="{{ person.key }}">
  {{- person.key }}: {{ person.name }}, {{ person.email }}</button>
{% endfor %}<button class="cancel" name="person" value="cancel">Cancel</button>
</form>
</main></body></html>
"#
)]
struct Choice<'a> {
    action: &'a str,
    fields: &'a [(&'static str, String)],
    people: &'a [&'static Person],
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Working...</title></head>
<body><form method="POST" name="hiddenform" action="{{ action }}">
{% for (name, value) in fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}<noscript>
<p>Script is disabled. Press the button to continue.</p><input type="submit" value="Continue">
</noscript>
</form><script>document.forms[0].submit();</script></body></html>
"#
)]
struct FormPost<'a> {
    action: &'a str,
    fields: &'a [(&'static str, String)],
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign-in is not possible (simulator)</title></head>
<body style="font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem">
<h1>Sign-in is not possible</h1><p>{{ message }}</p></body></html>
"#
)]
struct Impossible<'a> {
    message: &'a str,
}

/// Shows the buttons (GET), or answers the one that was pressed (POST).
pub(super) fn answer(state: &State, options: &Options, tenant: &str, request: &Request) -> Reply {
    let posted = request.method == "POST";
    let read = |name: &str| if posted { request.form(name) } else { request.query(name) };
    let fields: Vec<_> = PARAMETERS.iter().filter_map(|name| Some((*name, read(name)?))).collect();
    let asked = |name: &str| fields.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value.as_str());
    if let Err(message) = check(options, asked) {
        return page(400, &Impossible { message: &message });
    }
    let people: Vec<_> = PEOPLE.iter().filter(|person| admits(tenant, person)).collect();
    if !posted {
        let action = format!("{}/{tenant}/oauth2/v2.0/authorize", authority(options));
        return page(200, &Choice { action: &action, fields: &fields, people: &people });
    }
    let mut answer = match read("person").as_deref() {
        Some("cancel") => vec![
            ("error", "access_denied".to_owned()),
            ("error_subcode", "cancel".to_owned()),
            ("error_description", "AADSTS65004: User declined to consent to access the app.".to_owned()),
        ],
        Some(key) => {
            if let Some(person) = person(key).filter(|person| admits(tenant, person)) {
                let claims = id_token_claims(options, person, asked("nonce"));
                vec![("id_token", state.keys.sign(&claims, Signature::Good))]
            } else {
                let message = "AADSTS50020: This account does not exist in this tenant and cannot sign in.";
                return page(400, &Impossible { message });
            }
        }
        None => return page(400, &Impossible { message: "AADSTS900144: The parameter 'person' is missing." }),
    };
    if !asked("state").is_empty() {
        answer.push(("state", asked("state").to_owned()));
    }
    page(200, &FormPost { action: asked("redirect_uri"), fields: &answer })
}

/// Whether a person can sign in at this tenant's address.
fn admits(tenant: &str, person: &Person) -> bool {
    match tenant {
        "common" => true,
        "organizations" => person.tenant_id != PERSONAL_TENANT,
        "consumers" => person.tenant_id == PERSONAL_TENANT,
        _ => person.tenant_id == tenant,
    }
}

/// Entra's checks of an authorization request, as far as our application can fail them.
fn check<'a>(options: &Options, asked: impl Fn(&str) -> &'a str) -> Result<(), String> {
    if let Some(missing) = PARAMETERS[..6].iter().find(|name| asked(name).is_empty()) {
        return Err(format!("AADSTS900144: The request must contain the following parameter: '{missing}'."));
    }
    if !asked("client_id").eq_ignore_ascii_case(SIGNIN_CLIENT_ID) {
        let id = short(asked("client_id"));
        return Err(format!("AADSTS700016: Application with identifier '{id}' was not found in the directory."));
    }
    let registered = options.landing_url.join("signin").map_or_else(|_| String::new(), String::from);
    if asked("redirect_uri") != registered {
        return Err(format!(
            "AADSTS50011: The redirect URI '{}' specified in the request does not match the redirect URIs configured \
             for the application. Configured is '{registered}'.",
            short(asked("redirect_uri"))
        ));
    }
    if asked("response_type") != "id_token" {
        return Err(
            "AADSTS700054: response_type must be 'id_token'; nothing else is enabled for the application.".to_owned()
        );
    }
    if asked("response_mode") != "form_post" {
        return Err("AADSTS70007: response_mode must be 'form_post'.".to_owned());
    }
    if !asked("scope").split_ascii_whitespace().any(|scope| scope == "openid") {
        return Err("AADSTS70011: The scope must contain 'openid'.".to_owned());
    }
    Ok(())
}

fn page(status: u16, template: &impl Template) -> Reply {
    let html = template.render().expect("writing to a string does not fail");
    Reply::new(status, HTML, html).with("cache-control", "no-store")
}
