### Every sentence that a buyer can read.
###
### $publisher, the name of the publisher, may be used everywhere but in the sentences about numbers and times.
### A failure is one message: its value is the title, .text says what happened, .advice what to do.

language = en
direction = ltr

## What every page has

footer-sold-by = Sold by { $publisher } through Microsoft's commercial marketplace.
footer-support = { $publisher } support

## Links and labels

action-open-app = Open { $publisher }
action-set-up = Set up { $publisher }
action-support = Contact { $publisher } support
action-sign-in = Sign in
action-sign-in-again = Sign in again
action-another-account = Use another account
action-try-again = Try again

label-subscription = Subscription
label-subscription-id = Subscription ID
label-offer = Offer
label-plan = Plan
label-seats = Seats
label-term = Billing term
label-buyer = Paid for by
label-user = Used by
label-account = Your account
label-confirmed = Confirmed
label-reference = Reference
label-code = Code

## Values

# $count is the number of seats.
seats =
    { $count ->
        [one] { $count } seat
       *[other] { $count } seats
    }

# $count is how many months the subscription runs before it renews.
term-months =
    { $count ->
        [one] 1 month
       *[other] { $count } months
    }

# $count is how many years the subscription runs before it renews.
term-years =
    { $count ->
        [one] 1 year
       *[other] { $count } years
    }

# $time is a date and a time of day, as in 2025-06-30 14:05.
time = { $time } UTC

## A purchase that waits for its confirmation

confirm-title = Confirm your subscription
confirm-lead = Thank you for choosing { $publisher }. Please check the details, then activate your subscription.
confirm-switch-account = Not you? Use another account
confirm-billing = Billing starts when you confirm
    .text = Microsoft bills the subscription through the commercial marketplace from its activation on, at the price and for the term that you chose there.
confirm-trial = Your free trial starts when you confirm
    .text = Microsoft does not bill the trial. When it ends, the subscription becomes a paid one, unless it is cancelled before.
confirm-button = Confirm and activate
confirm-leave = If you leave this page without confirming, nothing is activated and nothing is billed.

## The way into the publisher's app

handoff-title = Opening { $publisher }
handoff-lead = { $publisher } opens in a moment. If it does not, press the button.
handoff-button = Continue to { $publisher }
setup-title = Setting up { $publisher }
setup-lead = { $publisher } asks you for what it needs before your subscription is activated. Its page opens in a moment. If it does not, press the button.

## A purchase that is being activated

setup-open = { $publisher } may still need something from you
    .text = Your subscription is activated once { $publisher } is set up. If you have not finished that yet, please go on there.

progress-title = Activating your subscription
progress-lead = This mostly takes less than a minute, and sometimes a few minutes. The page moves on by itself.
progress-stopped = The activation goes on, but this page has stopped following it.
progress-reload = See how it stands now
progress-leave = You may close this page. To return to it, open the subscription in the Azure portal or in the Microsoft 365 admin center and choose “Configure account” or “Manage account”.

delayed-title = Your activation takes longer than usual
delayed-lead = Your confirmation is saved. The activation has not come through yet, and we keep trying.
delayed-advice = There is nothing that you have to do, and you may close this page. Nothing is billed before the subscription is active. If it stays this way, please write to our support and name the subscription ID.
delayed-look-again = See how it stands now

given-up-title = Your subscription could not be activated
given-up-lead = We tried for a long time, and the activation did not come through. Your purchase is kept, and nothing is billed before the subscription is active.
given-up-advice = You can start another try now. If that does not help, please write to our support and name the subscription ID.
given-up-button = Try again

## A purchase that the publisher's own software refused to set up

refused-title = Your subscription was not set up
refused-lead = Your confirmation reached { $publisher }, and they could not set up the subscription. It is not active, and nothing is billed.
# Above the publisher's own words.
refused-reason = { $publisher } says
refused-advice = When this has been put right, you can ask again. Until then your purchase is kept. If you do not know what to do, please write to our support and name the subscription ID.
refused-button = Ask again

## An active subscription

done-title = Your subscription is active
done-lead = Everything is ready. You can start using { $publisher } now.
manage-title = Your subscription
manage-lead = This subscription is active.
active-changes = Plan, seats, payment, cancellation
    .text = You can change or cancel the subscription where you bought it: in the Azure portal under “SaaS”, or in the Microsoft 365 admin center under “Billing”.

## What can go wrong

fault-help = Do you need help?

fault-token-missing = Please come from your subscription
    .text = This page sets up a subscription that was bought in Microsoft's marketplace. The address you opened does not say which one.
    .advice = Open the subscription in the Azure portal or in the Microsoft 365 admin center and choose “Configure account” or “Manage account”.

fault-token-refused = This link is no longer valid
    .text = Links from the marketplace work for 24 hours. This one is older than that, or was not copied as a whole.
    .advice = To get a fresh link, open the subscription in the Azure portal or in the Microsoft 365 admin center and choose “Configure account” or “Manage account”. Your purchase is not affected.

fault-signin-required = Please sign in
    .text = We can show this page only to people who belong to the subscription, and your sign-in has ended or has not begun.
    .advice = Sign in with the account you bought the subscription with. You can always come back from the Azure portal or the Microsoft 365 admin center.

fault-signin-expired = Your sign-in took too long
    .text = The sign-in was not finished in time, or it was begun in another browser or browser window.
    .advice = Please start again, and finish the sign-in in the same window. If the browser blocks cookies for this site, allow them first.

fault-signin-failed = You could not be signed in
    .text = Microsoft did not confirm the sign-in, or it was called off.
    .advice = Please try again. If your organization asks for the approval of an administrator, your administrator can help.

fault-wrong-person = This account does not belong to the subscription
    .text = You are signed in with an account that belongs neither to the organization that bought the subscription nor to the one that uses it.
    .advice = Use the work or school account of that organization. If the subscription was bought with a personal Microsoft account, use exactly that account.

fault-forged-form = Please open the page again
    .text = For your protection we accept a confirmation only from a page that was opened recently in this browser. Nothing was changed.
    .advice = Go back to the previous page, reload it, and confirm again. If that does not help, come again from the Azure portal or the Microsoft 365 admin center.

fault-foreign-offer = This subscription is looked after elsewhere
    .text = The subscription belongs to an offer that is not served at this address. Nothing was changed.
    .advice = Please contact { $publisher } support: they can tell you where your subscription is set up.

fault-unknown-subscription = We do not know this subscription
    .text = There is no subscription here that fits the address you opened.
    .advice = Open the subscription in the Azure portal or in the Microsoft 365 admin center and choose “Configure account” or “Manage account”.

fault-suspended = This subscription is suspended
    .text = Microsoft could not collect a payment for the subscription. It is paused until the payment is settled. Your data is kept in the meantime.
    .advice = Check the payment method in the Azure portal under “Cost Management + Billing”, or in the Microsoft 365 admin center under “Billing”. After the payment the subscription resumes by itself. If it is not settled within 30 days, Microsoft cancels the subscription.

fault-cancelled = This subscription is cancelled
    .text = The subscription has ended and is no longer billed. A cancelled subscription cannot be resumed.
    .advice = To use { $publisher } again, buy a new subscription in Microsoft's marketplace. If you did not expect this, please contact our support soon.

fault-marketplace-unavailable = Microsoft's marketplace does not answer
    .text = We cannot read your subscription from Microsoft's marketplace at the moment. Nothing is lost, and trying again never bills you twice.
    .advice = Please try again in a few minutes.

fault-marketplace-misunderstood = Your subscription cannot be read
    .text = Microsoft's marketplace did not give us the details of your subscription. This is for us to mend. Nothing is lost, and trying again never bills you twice.
    .advice = Please contact { $publisher } support and name the reference below, or try again later.

fault-entra-unavailable = Microsoft's sign-in does not answer
    .text = We cannot reach the service that signs you in. Your subscription is not affected.
    .advice = Please try again in a few minutes.

fault-not-saved = This could not be saved
    .text = We could not save what you asked for just now. Nothing is lost, and trying again never bills you twice.
    .advice = Please try again in a few minutes.

fault-body-too-large = That was too much
    .text = Your browser sent more than this page accepts. Nothing was changed.
    .advice = Please come again from the Azure portal or the Microsoft 365 admin center.

fault-body-too-slow = The connection was too slow
    .text = What your browser sent did not arrive in time. Nothing was changed.
    .advice = Please go back and try again. If it happens again, try another network.

fault-bad-request = We did not understand that
    .text = Your browser sent something that this page cannot read. Nothing was changed.
    .advice = Please come again from the Azure portal or the Microsoft 365 admin center.

fault-unknown-page = There is no such page
    .text = The address you opened does not belong to any page of ours.
    .advice = To set up or manage a subscription, open it in the Azure portal or in the Microsoft 365 admin center and choose “Configure account” or “Manage account”.

fault-wrong-method = This page cannot be opened like this
    .text = The address you opened is only used by a button on another page. Nothing was changed.
    .advice = Please come again from the Azure portal or the Microsoft 365 admin center.

fault-internal = Something went wrong on our side
    .text = This is our fault, not yours. Nothing is lost, and trying again never bills you twice.
    .advice = Please try again in a few minutes. If it happens again, contact { $publisher } support and name the reference below.
