using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Levels;

/// <summary>What a leader knew of one member when it took a proposal in.</summary>
/// <param name="Member">Which life of which member.</param>
/// <param name="Range">Which levels of the feature its process supports.</param>
internal readonly record struct KnownRange(MemberIncarnation Member, FeatureRange Range);

/// <summary>
/// A level is to be finalised: a command of the node itself, with a refusal or nothing as its result. Its proposer names the level; the
/// leader adds what every member that it is linked with supports. So the log itself says on what the decision rests, and every member
/// decides the same, against the membership as of that entry.
/// </summary>
/// <param name="Feature">Which feature.</param>
/// <param name="Level">The level.</param>
/// <param name="Known">What the leader knew; null while no leader has taken it in.</param>
internal sealed record FinalizeLevel(string Feature, int Level, IReadOnlyList<KnownRange>? Known = null)
{
    /// <summary>Begins the command, as the first element of every command of the node that is no array.</summary>
    public const string Kind = "level";

    public ReadOnlyMemory<byte> Encode()
    {
        var output = new ArrayBufferWriter<byte>(64);
        var writer = new MessagePackWriter(output);
        writer.Write(Kind);
        writer.Write(Feature);
        writer.Write(Level);
        if (Known is null)
        {
            writer.WriteNil();
        }
        else
        {
            writer.WriteArrayHeader(Known.Count);
            foreach (var (member, range) in Known)
            {
                writer.WriteArrayHeader(4);
                writer.Write(member.Id.Value);
                writer.Write(member.Incarnation);
                writer.Write(range.Min);
                writer.Write(range.Max);
            }
        }
        writer.Flush();
        return output.WrittenMemory;
    }

    /// <summary>Whether there can be such a feature, and such a level. What the leader knew is the leader's own.</summary>
    public bool IsSound => FeatureRanges.CheckName(Feature) is null && Level is >= 1 and <= FeatureRanges.GreatestLevel && Known is null;

    /// <summary>What follows the kind.</summary>
    /// <exception cref="MessagePackSerializationException">It is something else.</exception>
    public static FinalizeLevel ReadRest(ref MessagePackReader reader)
    {
        var (feature, level) = (reader.ReadRequiredString(), reader.ReadInt32());
        if (reader.TryReadNil())
            return new FinalizeLevel(feature, level);
        var known = new List<KnownRange>();
        for (var count = reader.ReadArrayHeader(); count > 0; count--)
        {
            reader.ReadArrayHeader(4);
            known.Add(new KnownRange(
                new MemberIncarnation(new MemberId(reader.ReadInt32()), reader.ReadInt32()),
                new FeatureRange(reader.ReadInt32(), reader.ReadInt32())));
        }
        return new FinalizeLevel(feature, level, known);
    }
}
