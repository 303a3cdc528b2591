using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Levels;

/// <summary>A level that is finalised.</summary>
/// <param name="Level">The level.</param>
/// <param name="At">The entry that finalised it.</param>
internal readonly record struct FinalizedLevel(int Level, LogIndex At);

/// <summary>The finalised levels as of one entry. Immutable: contexts and callers of other threads keep it.</summary>
/// <param name="raised">Every level that was ever finalised, with its feature, in the order of the log.</param>
internal sealed class FinalizedLevels(IReadOnlyList<(string Feature, FinalizedLevel Finalized)> raised) : IEquatable<FinalizedLevels>
{
    public static readonly FinalizedLevels None = new([]);

    private readonly Dictionary<string, FinalizedLevel> _levels = Newest(raised);

    /// <summary>Those that were ever raised, at their level of now.</summary>
    public IReadOnlyDictionary<string, FinalizedLevel> All => _levels;

    /// <summary>Every level that was ever finalised, in the order of the log.</summary>
    public IReadOnlyList<(string Feature, FinalizedLevel Finalized)> Raised => raised;

    /// <summary>A feature that nobody ever raised is at its first level.</summary>
    public int Of(string feature) => _levels.TryGetValue(feature, out var finalized) ? finalized.Level : 1;

    /// <summary>What a command at this entry was applied under: what was finalised before it.</summary>
    public FinalizedLevels AsOf(LogIndex index) =>
        raised.All(r => r.Finalized.At < index) ? this : new FinalizedLevels([.. raised.Where(r => r.Finalized.At < index)]);

    /// <summary>
    /// What is finalised and a process does not support; null if nothing. Levels never fall, so that what is too low for one that is known
    /// here, which may not be the newest, is too low for good. Whether it is too high only its own log can tell.
    /// </summary>
    public string? WhyUnready(MemberId member, FeatureRanges supported)
    {
        foreach (var (feature, finalized) in _levels)
        {
            if (supported.Of(feature) is var range && range.Max < finalized.Level)
            {
                return $"Level {finalized.Level} of {feature} is finalised, and the process of member {member} supports levels {range} of it: it takes no part, and nothing is lost. "
                    + $"Start a build that supports level {finalized.Level} in the same directory.";
            }
        }
        return null;
    }

    public bool Equals(FinalizedLevels? other) => other is not null && (ReferenceEquals(this, other) || raised.SequenceEqual(other.Raised));

    public override bool Equals(object? obj) => Equals(obj as FinalizedLevels);

    public override int GetHashCode() => raised.Count > 0 ? HashCode.Combine(raised.Count, raised[^1]) : 0;

    private static Dictionary<string, FinalizedLevel> Newest(IReadOnlyList<(string Feature, FinalizedLevel Finalized)> raised)
    {
        var levels = new Dictionary<string, FinalizedLevel>(StringComparer.Ordinal);
        foreach (var (feature, finalized) in raised)
            levels[feature] = finalized;
        return levels;
    }
}

/// <summary>
/// Which level of each feature is finalised: replicated, snapshotted, and only ever raised (KIP-584; KRaft's metadata.version).
/// Deterministic; loop thread only, but for what <see cref="Current"/> gives out.
/// </summary>
internal sealed class FeatureTable
{
    private const int MostNamed = 8;

    /// <summary>As of the last entry that was applied.</summary>
    public FinalizedLevels Current { get; private set; } = FinalizedLevels.None;

    /// <summary>
    /// Why a level is not finalised; null if it may be. Every member must come to the same, so this asks the command, the table and the
    /// membership as of the entry alone.
    /// </summary>
    public string? Judge(FinalizeLevel command, Membership applied)
    {
        var (feature, level) = (command.Feature, command.Level);
        var now = Current.Of(feature);
        if (level == now)
            return null;
        if (level < now)
            return $"Level {now} of {feature} is finalised, and levels never fall: {level} is too late. Members that support no more than {level} are to be given a newer build.";
        if (command.Known is not { } known)
            return $"No leader added what the members support of {feature} to this proposal. Finalise it again.";
        var unready = new List<string>();
        foreach (var id in applied.All)
        {
            var member = applied.IncarnationOf(id)!.Value;
            if (known.Where(k => k.Member == member).Select(k => (FeatureRange?)k.Range).FirstOrDefault() is not { } range)
                unready.Add(
                    $"member {id} is not connected with the leader, so that nobody knows what it supports: start it, or remove it from the members");
            else if (!range.Contains(level))
                unready.Add($"member {id} supports levels {range}: start it with a build that supports level {level}");
        }
        if (unready.Count == 0)
            return null;
        var rest = unready.Count > MostNamed ? $"; and {unready.Count - MostNamed} more" : "";
        return $"Level {level} of {feature} is not finalised, {now} stays: {string.Join("; ", unready.Take(MostNamed))}{rest}. Then finalise it again.";
    }

    /// <summary>A level is finalised from this entry on.</summary>
    public void Raise(string feature, int level, LogIndex at)
    {
        var now = Current.Of(feature);
        Invariant.Holds(level >= now, $"level {now} of {feature} would fall to {level} at entry {at}");
        if (level == now)
            return;
        Current = new FinalizedLevels([.. Current.Raised, (feature, new FinalizedLevel(level, at))]);
    }

    public bool IsEmpty => Current.Raised.Count == 0;

    public void WriteTo(IBufferWriter<byte> output)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(Current.Raised.Count);
        foreach (var (feature, finalized) in Current.Raised)
        {
            writer.WriteArrayHeader(3);
            writer.Write(feature);
            writer.Write(finalized.Level);
            writer.Write(finalized.At.Value);
        }
        writer.Flush();
    }

    /// <summary>Takes a snapshot's levels over; bytes of before there were any are empty.</summary>
    public void ReadFrom(ReadOnlyMemory<byte> bytes)
    {
        var raised = new List<(string, FinalizedLevel)>();
        if (!bytes.IsEmpty)
        {
            var reader = new MessagePackReader(bytes);
            for (var count = reader.ReadArrayHeader(); count > 0; count--)
            {
                reader.ReadArrayHeader(3);
                raised.Add((reader.ReadRequiredString(), new FinalizedLevel(reader.ReadInt32(), new LogIndex(reader.ReadInt64()))));
            }
        }
        Current = new FinalizedLevels(raised);
    }
}
