using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Levels;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;

namespace RaftKit.Node.Loop;

/// <summary>
/// What other members may propose to the node itself. The leader looks before a command reaches the log: there, one that cannot be read
/// would stop every member, at every start again; a newer build may ask for what this one does not know, without a level that allows it.
/// <see cref="Applier"/> applies them.
/// </summary>
internal static class NodeCommand
{
    /// <summary>Begins the command that gives an observer's empty directory a life.</summary>
    public const string ObserverLife = "observer";

    /// <summary>
    /// Begins what a leader puts into the log in place of a command that it could not apply. Only leaders make it: forwarded, it is not
    /// sound.
    /// </summary>
    private const string Refused = "refused";

    private static readonly byte[] RefusedPrefix = [(byte)(0xa0 | Refused.Length), .. System.Text.Encoding.UTF8.GetBytes(Refused)];

    /// <summary>An entry's payload: this proposal is refused, under its own number.</summary>
    public static byte[] Refusal(Envelope refused, string reason)
    {
        var output = new ArrayBufferWriter<byte>(RefusedPrefix.Length + reason.Length + 8);
        var writer = new MessagePackWriter(output);
        writer.Write(Refused);
        writer.Write(reason);
        writer.Flush();
        return (refused with { Machine = Applier.NodeName }).With(output.WrittenMemory);
    }

    /// <summary>Why a leader refused the command in whose place this is; null if it is anything else.</summary>
    public static string? RefusalIn(Envelope envelope)
    {
        if (!envelope.Command.Span.StartsWith(RefusedPrefix) || !envelope.Machine.Span.SequenceEqual(Applier.NodeName))
            return null;
        var reader = new MessagePackReader(envelope.Command[RefusedPrefix.Length..]);
        return reader.ReadRequiredString();
    }

    /// <summary>Whether it is one that every member of this build can apply.</summary>
    public static bool IsSound(ReadOnlyMemory<byte> command) => TryRead(command, out _);

    /// <summary>The level that it asks for; null if it asks for anything else, or is not sound.</summary>
    public static FinalizeLevel? LevelOf(ReadOnlyMemory<byte> command) => TryRead(command, out var level) ? level : null;

    private static bool TryRead(ReadOnlyMemory<byte> command, out FinalizeLevel? level)
    {
        level = null;
        try
        {
            var reader = new MessagePackReader(command);
            var isSound = reader.NextMessagePackType switch
            {
                MessagePackType.Array => MembershipChange.Decode(ref reader).IsSound,
                MessagePackType.String => reader.ReadRequiredString() switch
                {
                    FinalizeLevel.Kind => (level = FinalizeLevel.ReadRest(ref reader)).IsSound,
                    ObserverLife => new MemberId(reader.ReadInt32()) is { IsObserver: true, Value: <= MemberId.GreatestObserver },
                    _ => false,
                },
                // The cluster's id and the epoch break are never forwarded: a leader proposes the one, an operator writes the other.
                _ => false,
            };
            return isSound && reader.End;
        }
        catch (MessagePackSerializationException)
        {
            return false;
        }
    }
}
