// Receives what marketplace-fulfillment sends to a publisher's own software: events, commands, and buyers.
// How to run it: ../README.md. What is to be replaced by your own is marked REPLACE.

using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

const int BodyLimit = 256 * 1024; // bytes; fulfillment sends 64 KiB at most
const int SignatureTolerance = 5 * 60; // seconds; Standard Webhooks leaves it to the receiver, its libraries take this
var clockTolerance = TimeSpan.FromMinutes(1); // by which two clocks may differ

string Setting(string key, string otherwise) => Environment.GetEnvironmentVariable(key) ?? otherwise;
var port = Setting("PORT", "3000");
var fulfillment = Setting("FULFILLMENT_URL", "http://127.0.0.1:7071").TrimEnd('/');
// As it stands in fulfillment's setting of the same name: a hand-off for another address is not for us.
var handoffUrl = Setting("PUBLISHER_HANDOFF_URL", $"http://127.0.0.1:{port}/handoff");
var (provisioning, deciding) = (Setting("PROVISION", "now"), Setting("DECIDE", "accept"));
// One secret, or two while one takes over from the other.
var secrets = Setting("PUBLISHER_EVENTS_SECRET", "")
    .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
    .Select(secret => Convert.FromBase64String(secret["whsec_".Length..]))
    .ToList();
if (secrets.Count == 0)
{
    Console.Error.WriteLine("PUBLISHER_EVENTS_SECRET is missing: what fulfillment signs with; `dev` prints its own");
    return 1;
}

var known = new Known();
var keys = new Keys($"{fulfillment}/api/keys");

// Events: each arrives at least once, those of one subscription in order.

IResult Receive(JsonNode message)
{
    var (id, type) = ((string)message["id"]!, (string)message["type"]!);
    var subscription = message["data"]?["subscription"];
    lock (known)
    {
        if (known.Events.Contains(id)) return Results.Ok(); // sent again, because our answer was lost
        if (subscription is not null)
        {
            var (subject, sequence) = ((string)message["subject"]!, (string)message["sequence"]!);
            var newest = known.Subscriptions.GetValueOrDefault(subject)?.Sequence;
            // Every event carries the whole subscription: the newest is all there is to know. A replay brings older
            // ones.
            if (newest is null || long.Parse(sequence) > long.Parse(newest))
                known.Subscriptions[subject] = new Entry(sequence, type, subscription);
        }
        Happened(type, subscription);
        known.Events.Add(id); // last: what fails before is tried again
    }
    return Results.Ok();
}

// REPLACE: once per event, in whatever order: a mail, a line in your audit log. What holds now is in the table.
void Happened(string type, JsonNode? subscription) =>
    Console.WriteLine($"{type} {subscription?["id"]} {subscription?["status"]} {subscription?["planId"]}");

// Commands: somebody waits for the answer.

// REPLACE: make the account. Asked again about the same subscription, it is still one account.
IResult Provision(JsonNode message, HttpResponse response)
{
    if (provisioning == "refuse") return Refused(422, "We cannot serve your country yet");
    bool isNew;
    lock (known) isNew = known.Provisioned.Add((string)message["subject"]!);
    if (provisioning != "later" || !isNew) return Results.Ok();
    response.Headers.RetryAfter = "5";
    return Results.StatusCode(202);
}

// REPLACE: may this customer make this change? `from` and `to` have planId and quantity. Answer at once.
IResult Decide(JsonNode message)
{
    var to = message["data"]!["change"]!["to"]!;
    return deciding == "refuse"
        ? Results.Json(new { decision = "refuse", reason = $"Not to {to["planId"]} {to["quantity"]}" })
        : Results.Json(new { decision = "accept" });
}

// Hand-off: a buyer's browser brings a token that says who they are and which subscription they come from.

async Task HandOff(string token)
{
    var result = await new JsonWebTokenHandler().ValidateTokenAsync(token, new TokenValidationParameters
    {
        ValidAlgorithms = ["ES256"],
        ValidIssuer = fulfillment,
        ValidAudience = handoffUrl,
        IssuerSigningKeys = await keys.For(new JsonWebToken(token).Kid),
        ClockSkew = clockTolerance,
    });
    if (!result.IsValid) throw result.Exception;
    var jwt = (JsonWebToken)result.SecurityToken;
    var claims = JsonNode.Parse(Base64UrlEncoder.Decode(jwt.EncodedPayload))!;
    lock (known)
    {
        var handoff = new Handoff((string)claims["purpose"]!, claims["subscription"], claims["person"]);
        if (jwt.Id == "") throw new SecurityTokenException("no id");
        if (!known.Handoffs.TryAdd(jwt.Id, handoff)) throw new SecurityTokenException("used before");
    }
    // REPLACE: sign the person in with a session of your own. `setup` comes before billing starts, `open` after.
}

// Whether one of our secrets signed these very bytes within the last five minutes, as Standard Webhooks has it. By hand,
// because the packages for .NET that we read overlook the last of several signatures; while a secret is replaced, there
// are two.
bool Signed(IHeaderDictionary headers, byte[] body)
{
    var (id, timestamp) = (headers["webhook-id"].ToString(), headers["webhook-timestamp"].ToString());
    if (!long.TryParse(timestamp, NumberStyles.None, CultureInfo.InvariantCulture, out var sent)) return false;
    var age = DateTimeOffset.UtcNow.ToUnixTimeSeconds() - sent;
    if (Math.Abs(age) > SignatureTolerance) return false;
    byte[] content = [.. Encoding.UTF8.GetBytes($"{id}.{timestamp}."), .. body];
    var expected = secrets.Select(key => $"v1,{Convert.ToBase64String(HMACSHA256.HashData(key, content))}").ToList();
    var given = headers["webhook-signature"].ToString().Split(' ');
    return expected.Any(one => given.Any(other => Same(one, other)));
}

// In a time that tells nothing of where they differ.
bool Same(string one, string other) =>
    CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(one), Encoding.UTF8.GetBytes(other));

// HTTP. The address is this machine's only: `/` and `/state` show names to whoever asks.

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.UseUrls($"http://127.0.0.1:{port}");
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = BodyLimit);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
var app = builder.Build();

IResult Refused(int status, string reason) => Results.Json(new { reason }, statusCode: status);

async Task<IResult> Message(HttpContext context, Func<JsonNode, IResult> answer)
{
    using var buffer = new MemoryStream();
    await context.Request.Body.CopyToAsync(buffer);
    var body = buffer.ToArray();
    if (!Signed(context.Request.Headers, body)) return Refused(401, "no signature of yours");
    return answer(JsonNode.Parse(body)!);
}

app.MapPost("/events", async (HttpContext context) => await Message(context, Receive));
app.MapPost("/decisions", async (HttpContext context) => await Message(context, Decide));
app.MapPost("/provision", async (HttpContext context) =>
    await Message(context, message => Provision(message, context.Response)));

app.MapPost("/handoff", async (HttpContext context) =>
{
    try
    {
        var form = context.Request.HasFormContentType ? await context.Request.ReadFormAsync() : FormCollection.Empty;
        await HandOff(form["handoff"].ToString());
    }
    catch (Exception error)
    {
        Console.Error.WriteLine($"hand-off: {error.Message}");
        const string text = "<p>This way in works once, and not for long. Please go back and open the app again.</p>";
        return Results.Content(text, "text/html; charset=utf-8", statusCode: 403);
    }
    context.Response.Headers.Location = "/";
    return Results.StatusCode(303);
});

app.MapGet("/state", () =>
{
    lock (known)
    {
        var (events, handoffs) = (known.Events.Count, known.Handoffs.Values.ToList());
        var (subscriptions, provisioned) = (known.Subscriptions.ToDictionary(), known.Provisioned.ToList());
        return Results.Json(new { events, subscriptions, provisioned, handoffs });
    }
});

app.MapGet("/", () =>
{
    string Row(params object?[] cells) =>
        $"<tr>{string.Concat(cells.Select(cell => $"<td>{WebUtility.HtmlEncode(cell?.ToString())}</td>"))}</tr>";
    lock (known)
    {
        var subscriptions = known.Subscriptions.Values.Select(entry =>
        {
            var now = entry.Subscription;
            return Row(now["id"], now["planId"], now["quantity"], now["status"], entry.Type, entry.Sequence);
        });
        var people = known.Handoffs.Values.Select(handoff =>
            Row(handoff.Purpose, handoff.Person?["name"] ?? handoff.Person?["username"], handoff.Subscription?["id"]));
        return Results.Content($"""
            <!doctype html><title>Receiver</title>
            <h1>Subscriptions</h1>
            <table>{Row("id", "plan", "seats", "status", "event", "sequence")}{string.Concat(subscriptions)}</table>
            <h1>Handed over</h1><table>{Row("to", "who", "subscription")}{string.Concat(people)}</table>
            """, "text/html; charset=utf-8");
    }
});

app.Lifetime.ApplicationStarted.Register(() => Console.WriteLine($"receiver: http://127.0.0.1:{port}"));
app.Run();
return 0;

// What is known. REPLACE: this is gone when the process ends, only grows, and no two processes share it. Each of these
// is a table with a unique key in your database, and `Receive` is one transaction; ../python/receiver.py shows the SQL.
sealed class Known
{
    public HashSet<string> Events { get; } = []; // ids of what was taken in
    public Dictionary<string, Entry> Subscriptions { get; } = [];
    public HashSet<string> Provisioned { get; } = [];
    public Dictionary<string, Handoff> Handoffs { get; } = []; // by jti
}

sealed record Entry(string Sequence, string Type, JsonNode Subscription);

sealed record Handoff(string Purpose, JsonNode? Subscription, JsonNode? Person);

// The keys of hand-offs: kept for five minutes; an unknown key id has them fetched again, at most once a minute.
sealed class Keys(string url)
{
    static readonly TimeSpan Fresh = TimeSpan.FromMinutes(5), Pause = TimeSpan.FromMinutes(1);
    readonly HttpClient http = new() { Timeout = TimeSpan.FromSeconds(5) };
    readonly SemaphoreSlim turn = new(1);
    JsonWebKeySet set = new();
    DateTimeOffset asked = DateTimeOffset.MinValue;

    public async Task<IList<SecurityKey>> For(string id)
    {
        await turn.WaitAsync();
        try
        {
            var patience = set.Keys.Any(key => key.Kid == id) ? Fresh : Pause;
            if (DateTimeOffset.UtcNow - asked > patience)
            {
                asked = DateTimeOffset.UtcNow;
                set = new JsonWebKeySet(await http.GetStringAsync(url));
            }
            return set.GetSigningKeys();
        }
        finally
        {
            turn.Release();
        }
    }
}
