using System.Text.Json;
using System.Text.Json.Serialization;

namespace RaftKit.Load;

/// <summary>How a member process is to run; its one argument.</summary>
internal sealed record MemberSettings(int Id, IReadOnlyList<int> Ports, string DataDirectory, MemberTimeouts? Timeouts = null)
{
    public static MemberSettings Parse(string argument) =>
        JsonSerializer.Deserialize(argument, LoadJson.Default.MemberSettings) ?? throw new ArgumentException("No settings were given.");

    public string ToArgument() => JsonSerializer.Serialize(this, LoadJson.Default.MemberSettings);
}

/// <summary>Other timeouts than the defaults.</summary>
internal sealed record MemberTimeouts(int HeartbeatMs, int ElectionMs);

/// <summary>What the parent tells a member: one JSON object a line on its standard input. The end of the input ends the member.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "order")]
[JsonDerivedType(typeof(Run), "run")]
[JsonDerivedType(typeof(AwaitWrite), "await-write")]
[JsonDerivedType(typeof(Fill), "fill")]
[JsonDerivedType(typeof(Tell), "tell")]
internal abstract record MemberOrder
{
    /// <summary>Issues a load from inside this member's process.</summary>
    public sealed record Run(LoadKind Kind, int Outstanding, int Size, double Seconds) : MemberOrder;

    /// <summary>Submits a write every millisecond until one is acknowledged.</summary>
    public sealed record AwaitWrite : MemberOrder;

    /// <summary>Creates znodes.</summary>
    public sealed record Fill(int Znodes, int Size, int PerEntry) : MemberOrder;

    /// <summary>Tells its state.</summary>
    public sealed record Tell : MemberOrder;
}

/// <summary>What a member tells the parent: one JSON object a line on its standard output.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "report")]
[JsonDerivedType(typeof(Status), "status")]
[JsonDerivedType(typeof(WindowOpened), "window-opened")]
[JsonDerivedType(typeof(WindowClosed), "window-closed")]
[JsonDerivedType(typeof(WriteAcknowledged), "write-acknowledged")]
[JsonDerivedType(typeof(Filled), "filled")]
[JsonDerivedType(typeof(State), "state")]
[JsonDerivedType(typeof(Failed), "failed")]
internal abstract record MemberReport
{
    /// <summary>What it is in the quorum, whenever that changes.</summary>
    public sealed record Status(bool Leader, bool Ready, long Term) : MemberReport;

    /// <summary>The load is warm: from now on it counts.</summary>
    public sealed record WindowOpened : MemberReport;

    /// <summary>It no longer counts, and this is what it came to.</summary>
    public sealed record WindowClosed(LoadFigures Figures) : MemberReport;

    /// <summary>Answers <see cref="MemberOrder.AwaitWrite"/>.</summary>
    /// <param name="At">A timestamp of the machine's monotonic clock.</param>
    public sealed record WriteAcknowledged(long At) : MemberReport;

    /// <summary>Answers <see cref="MemberOrder.Fill"/>.</summary>
    public sealed record Filled : MemberReport;

    /// <summary>Answers <see cref="MemberOrder.Tell"/>.</summary>
    public sealed record State(
        int Member, int Znodes, ulong Digest, long Zxid, double LongestTurnMs, double LongestTurnWorkMs, long SnapshotsTaken,
        long SnapshotsInstalled,
        long MostMemoryMb) : MemberReport;

    /// <summary>The load could not go on.</summary>
    public sealed record Failed(string Reason) : MemberReport;
}

/// <summary>What is done.</summary>
internal enum LoadKind
{
    /// <summary>Sets a znode's data.</summary>
    Write,

    /// <summary>Reads the tree directly: <see cref="Znodes.IZnodeView"/>.</summary>
    ViewRead,

    /// <summary>Reads in order with the session's own writes and events.</summary>
    SessionRead,

    /// <summary>Reads after a sync: never older than what was acknowledged to anybody before.</summary>
    LinearizableRead,
}

/// <summary>What a load came to in the member that issued it.</summary>
internal sealed record LoadFigures(
    long Operations, double Seconds, double P50Ms, double P99Ms, double P999Ms, double MaxMs, long AllocatedBytes, long Fsyncs,
    int Gen2Collections);

[JsonSourceGenerationOptions(UseStringEnumConverter = true)]
[JsonSerializable(typeof(MemberSettings))]
[JsonSerializable(typeof(MemberOrder))]
[JsonSerializable(typeof(MemberReport))]
internal sealed partial class LoadJson : JsonSerializerContext;
