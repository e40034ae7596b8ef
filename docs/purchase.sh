#!/usr/bin/env bash
# A purchase by curl alone, against a running `fulfillment dev`: buy, sign in as the buyer, confirm, watch it become active
# at both ends. Every step prints what a browser would do.
#
#   docs/purchase.sh [host] [simulator]      defaults: http://127.0.0.1:7071 http://127.0.0.1:7072
set -euo pipefail

host=${1:-http://127.0.0.1:7071}
simulator=${2:-http://127.0.0.1:7072}
# How often the end is looked for, once a second.
patience=60

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Reads one value out of flat JSON on stdin.
json() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" | head -n 1; }
# Reads the value of a hidden form field out of a page on stdin.
field() { tr '\n' ' ' | sed 's/<input/\n<input/g' | sed -n "s/^<input[^>]*name=\"$1\"[^>]*value=\"\([^\"]*\)\".*/\1/p" | head -n 1; }
# Reads where a page's form goes.
action() { tr '\n' ' ' | sed -n 's/.*<form[^>]*action="\([^"]*\)".*/\1/p' | sed 's/&#38;/\&/g; s/&amp;/\&/g'; }
# The browser: its cookies for the app lie in a file. curl sends no Secure cookie over plain http to an IP address, so they
# are kept by hand: what a `set-cookie` line says replaces what was there.
cookies() { [ ! -f "$work/cookies" ] || paste -sd ';' "$work/cookies"; }
keep() {
  touch "$work/cookies"
  tr -d '\r' <"$work/headers" | sed -n 's/^[Ss]et-[Cc]ookie: \([^;]*\).*/\1/p' | while IFS= read -r cookie; do
    grep -v "^${cookie%%=*}=" "$work/cookies" >"$work/others" || true
    { cat "$work/others"; case $cookie in *=) ;; *) printf '%s\n' "$cookie" ;; esac; } >"$work/cookies"
  done
}
app() {
  curl --silent --show-error --max-time 30 --dump-header "$work/headers" --header "cookie: $(cookies)" "$@"
  keep
}
location() { tr -d '\r' <"$work/headers" | sed -n 's/^[Ll]ocation: //p' | head -n 1; }

echo "1. The buyer buys five seats of silver in the marketplace."
bought=$(curl --silent --show-error --fail --max-time 30 --header 'content-type: application/json' \
  --data '{"offerId":"contoso-offer","planId":"silver","quantity":5}' "$simulator/simulator/purchases")
subscription=$(json subscriptionId <<<"$bought")
landing=$(json landingUrl <<<"$bought")
echo "   subscription $subscription"

echo "2. The marketplace sends the buyer to the landing page, which asks for a sign-in."
app --output /dev/null "$landing"
authorize=$(location)
echo "   to ${authorize%%\?*}"

echo "3. The buyer signs in with Entra, which posts the answer to the app."
query=${authorize#*\?}
curl --silent --show-error --fail --max-time 30 --data "$query&person=buyer" "${authorize%%\?*}" >"$work/answer"
app --output /dev/null --data-urlencode "id_token=$(field id_token <"$work/answer")" \
  --data-urlencode "state=$(field state <"$work/answer")" "$(action <"$work/answer")"
page=$host$(location)
echo "   to $page"

echo "4. The app shows what was bought; the buyer presses Confirm."
app --output "$work/confirm" "$page"
app --output /dev/null --data-urlencode "subscription=$(field subscription <"$work/confirm")" \
  --data-urlencode "form_token=$(field form_token <"$work/confirm")" "$host$(action <"$work/confirm")"
echo "   to $(location)"

echo "5. The page asks how far it is."
state=
for _ in $(seq "$patience"); do
  state=$(app "$host/api/progress?subscription=$subscription" | json state)
  echo "   $state"
  [ "$state" = active ] && break
  sleep 1
done

echo "6. Both ends."
ours=$(curl --silent --show-error --fail --max-time 30 "$host/api/subscriptions/$subscription" | json status)
theirs=$(curl --silent --show-error --fail --max-time 30 "$simulator/simulator/subscriptions/$subscription" | json saasSubscriptionStatus)
echo "   here: $ours, at the marketplace: $theirs"
[ "$ours" = Subscribed ] && [ "$theirs" = Subscribed ]
