using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace PartitionLeaders.Supervision;

/// <summary>Something that happened, worth showing; with <c>--json</c>, one line each.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "event")]
[JsonDerivedType(typeof(Started), "started")]
[JsonDerivedType(typeof(Member), "member")]
[JsonDerivedType(typeof(Registered), "registered")]
[JsonDerivedType(typeof(Unregistered), "unregistered")]
[JsonDerivedType(typeof(Ready), "ready")]
[JsonDerivedType(typeof(ForeignEphemeralLost), "foreign-ephemeral-lost")]
[JsonDerivedType(typeof(Killed), "kill")]
[JsonDerivedType(typeof(Froze), "freeze")]
[JsonDerivedType(typeof(Resumed), "resume")]
[JsonDerivedType(typeof(Exited), "exit")]
[JsonDerivedType(typeof(FailedOver), "failover")]
[JsonDerivedType(typeof(Fenced), "fenced")]
[JsonDerivedType(typeof(WatchFailed), "watch-failed")]
[JsonDerivedType(typeof(Summary), "summary")]
internal abstract record RunEvent
{
    /// <summary>A broker's process was started.</summary>
    public sealed record Started(int Id, int Pid) : RunEvent
    {
        public override string Describe() => Text($"broker {Id} started as process {Pid}");
    }

    /// <summary>What the member in a broker's process is now; told whenever it changes.</summary>
    public sealed record Member(int Id, int Pid, bool Leader, long Term, int Incarnation, bool Voter, int Source) : RunEvent
    {
        public override string Describe() =>
            Text($"member {Id} {(Leader ? "leads" : "is in")} term {Term}{(Source == 0 || Source == Id ? "" : $", fed by {Source}")}");
    }

    /// <summary>A broker's ephemeral znode is there.</summary>
    public sealed record Registered(int Id, int Pid) : RunEvent
    {
        public override string Describe() => Text($"broker {Id} is registered");
    }

    /// <summary>A broker's ephemeral znode is gone.</summary>
    public sealed record Unregistered(int Id, int Pid) : RunEvent
    {
        public override string Describe() => Text($"broker {Id} is not registered any more");
    }

    /// <summary>Every broker is registered and every partition has a leader: the faults begin.</summary>
    public sealed record Ready(double Seconds) : RunEvent
    {
        public override string Describe() => Text($"ready after {Seconds:0.00} s");
    }

    /// <summary>A broker's ephemeral znode was removed though nothing had happened to it.</summary>
    public sealed record ForeignEphemeralLost(int Id, int Pid, string Zxid, DateTimeOffset At) : RunEvent
    {
        public override string Describe() =>
            Text($"broker {Id} lost its ephemeral at zxid {Zxid}, {At:HH:mm:ss.fff}, and was neither dead, frozen nor cut off");
    }

    /// <summary>The supervisor killed a broker.</summary>
    public sealed record Killed(int Id, int Pid, bool Leader) : RunEvent
    {
        public override string Describe() => Text($"killed broker {Id}{(Leader ? ", the quorum's leader" : "")}");
    }

    /// <summary>A broker was frozen, by the supervisor or by somebody else.</summary>
    public sealed record Froze(int Id, int Pid, bool Leader) : RunEvent
    {
        public override string Describe() => Text($"froze broker {Id}{(Leader ? ", the quorum's leader" : "")}");
    }

    /// <summary>A frozen broker runs again.</summary>
    public sealed record Resumed(int Id, int Pid) : RunEvent
    {
        public override string Describe() => Text($"broker {Id} runs again");
    }

    /// <summary>A broker's process ended; above 128, by that signal.</summary>
    public sealed record Exited(int Id, int Pid, int Code, bool Expected) : RunEvent
    {
        public override string Describe() => Text($"broker {Id} ended with code {Code}{(Expected ? "" : ", not by the supervisor")}");
    }

    /// <summary>The quorum takes writes again.</summary>
    public sealed record FailedOver(bool Frozen, double Ms) : RunEvent
    {
        public override string Describe() => Text($"the quorum had {(Frozen ? "a gap of" : "failed over after")} {Ms:0.0} ms");
    }

    /// <summary>A deposed leader tried to write and was refused.</summary>
    public sealed record Fenced(int Id, int Partition, long Token) : RunEvent
    {
        public override string Describe() => Text($"fencing refused broker {Id} a write to partition {Partition} under token {Token}");
    }

    /// <summary>What a session was told by watches does not fit what it read.</summary>
    public sealed record WatchFailed(int Id, int Pid, string What) : RunEvent
    {
        public override string Describe() => Text($"watches of broker {Id}: {What}");
    }

    public abstract string Describe();

    public string ToLine() => JsonSerializer.Serialize(this, EventJson.Default.RunEvent);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(RunEvent))]
internal sealed partial class EventJson : JsonSerializerContext;
