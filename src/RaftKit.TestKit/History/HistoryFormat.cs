using System.Text;
using System.Text.Json;

namespace RaftKit.TestKit;

/// <summary>The JSON of a history: one object a line, one line an operation, fields that do not apply left out.</summary>
internal static class HistoryFormat
{
    private static readonly string[] Kinds =
        ["create", "get", "exists", "set", "delete", "children", "multi", "check", "closesession", "sync"];

    private static readonly string[] Statuses = ["ok", "fail", "info"];

    public static string ToLine(HistoryOperation operation)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
            Write(json, operation, whole: true);
        return Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length);
    }

    public static HistoryOperation FromLine(string line)
    {
        using var document = JsonDocument.Parse(line);
        return Read(document.RootElement);
    }

    private static void Write(Utf8JsonWriter json, HistoryOperation operation, bool whole)
    {
        json.WriteStartObject();
        if (whole)
        {
            json.WriteNumber("client", operation.Client);
            json.WriteNumber("session", operation.Session);
            json.WriteNumber("call", operation.Call);
            json.WriteNumber("ret", operation.Return);
            json.WriteString("status", Statuses[(int)operation.Status]);
        }
        json.WriteString("op", Kinds[(int)operation.Kind]);
        if (operation.Path is not null)
            json.WriteString("path", operation.Path);
        if (operation.In is not null)
            json.WriteString("in", operation.In);
        if (operation.Out is not null)
            json.WriteString("out", operation.Out);
        if (operation.Kind == HistoryKind.Create)
            json.WriteBoolean("seq", operation.Sequential);
        if (operation.Kind is HistoryKind.Create or HistoryKind.CloseSession)
            json.WriteNumber("owner", operation.Owner);
        if (operation.Kind is HistoryKind.Set or HistoryKind.Delete or HistoryKind.Check)
            json.WriteNumber("expver", operation.ExpectedVersion);
        if (operation.Version is { } version)
            json.WriteNumber("version", version);
        if (operation.Exists is { } exists)
            json.WriteBoolean("exists", exists);
        if (operation.Children is not null)
        {
            json.WriteStartArray("children");
            foreach (var name in operation.Children)
                json.WriteStringValue(name);
            json.WriteEndArray();
        }
        if (operation.Kind == HistoryKind.Multi)
        {
            json.WriteStartArray("ops");
            foreach (var part in operation.Operations)
                Write(json, part, whole: false);
            json.WriteEndArray();
        }
        if (operation.Zxid != 0)
            json.WriteNumber("zxid", operation.Zxid);
        if (operation.Error is not null)
            json.WriteString("err", operation.Error);
        json.WriteEndObject();
    }

    private static HistoryOperation Read(JsonElement json)
    {
        var status = Array.IndexOf(Statuses, Text(json, "status") ?? "ok");
        var kind = Array.IndexOf(Kinds, Text(json, "op"));
        if (kind < 0 || status < 0)
            throw new FormatException($"The line has no known \"op\" and \"status\": {json.GetRawText()}");
        return new HistoryOperation
        {
            Client = (int)Number(json, "client", 0),
            Session = Number(json, "session", 0),
            Call = Number(json, "call", 0),
            Return = Number(json, "ret", long.MaxValue),
            Status = (HistoryStatus)status,
            Kind = (HistoryKind)kind,
            Path = Text(json, "path"),
            In = Text(json, "in"),
            Out = Text(json, "out"),
            Sequential = Flag(json, "seq") ?? false,
            Owner = Number(json, "owner", 0),
            ExpectedVersion = (int)Number(json, "expver", -1),
            Version = Present(json, "version") is { } version ? version.GetInt32() : null,
            Exists = Flag(json, "exists"),
            Children = Present(json, "children") is { } names ? [.. names.EnumerateArray().Select(n => n.GetString()!)] : null,
            Operations = Present(json, "ops") is { } parts ? [.. parts.EnumerateArray().Select(Read)] : [],
            Zxid = Number(json, "zxid", 0),
            Error = Text(json, "err"),
        };
    }

    private static JsonElement? Present(JsonElement json, string name) =>
        json.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static string? Text(JsonElement json, string name) => Present(json, name)?.GetString();

    private static long Number(JsonElement json, string name, long otherwise) => Present(json, name)?.GetInt64() ?? otherwise;

    private static bool? Flag(JsonElement json, string name) => Present(json, name) is { } value
        ? value.ValueKind == JsonValueKind.Number ? value.GetInt64() != 0 : value.GetBoolean()
        : null;
}
