using System.Text.Json.Serialization;

namespace PartitionLeaders.Reports;

/// <summary>
/// One operation of a history client, with what it was given and what it got. A line of <c>--history FILE</c>; a checker decides from these
/// lines alone whether there is an order that explains every answer. Properties that do not belong to the operation are null and left out.
/// </summary>
internal sealed record HistoryOperation
{
    public int Client { get; init; }

    public long Session { get; init; }

    /// <summary>When it was called, in nanoseconds of the machine's monotonic clock.</summary>
    public long Call { get; init; }

    /// <summary>When it returned. For <c>info</c>: when it was given up; it may still take effect at any later time.</summary>
    public long Ret { get; init; }

    /// <summary><c>ok</c>, <c>fail</c> (surely not applied) or <c>info</c> (unknown).</summary>
    public string? Status { get; init; }

    public required string Op { get; init; }

    public string? Path { get; init; }

    public string? In { get; init; }

    public string? Out { get; init; }

    public bool? Seq { get; init; }

    public long? Owner { get; init; }

    [JsonPropertyName("expver")]
    public int? ExpectedVersion { get; init; }

    public int? Version { get; init; }

    public bool? Exists { get; init; }

    public IReadOnlyList<string>? Children { get; init; }

    public IReadOnlyList<HistoryOperationPart>? Ops { get; init; }

    /// <summary>Why the tree refused it.</summary>
    public string? Err { get; init; }

    public long? Zxid { get; init; }

    /// <summary>Of a read that says what it got: which of the library's guarantees.</summary>
    public string? Got { get; init; }

    /// <summary>How far behind such a read allowed the copy to be, in nanoseconds.</summary>
    public long? Behind { get; init; }

    /// <summary>The zxid that its session had seen.</summary>
    public long? Seen { get; init; }
}

/// <summary>One part of a multi.</summary>
internal sealed record HistoryOperationPart
{
    public required string Op { get; init; }

    public required string Path { get; init; }

    public string? In { get; init; }

    [JsonPropertyName("expver")]
    public int? ExpectedVersion { get; init; }

    public int? Version { get; init; }

    public string? Err { get; init; }
}
