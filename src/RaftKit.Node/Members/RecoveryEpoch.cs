using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;

namespace RaftKit.Node.Members;

/// <summary>
/// An epoch break, as the log holds it: an operator made one member the whole quorum, because the others were lost. From that entry on
/// every zxid carries the new epoch, so that none is ever given twice, though indexes are. Also the lives that it left behind: what they
/// hold beyond the break is lost, and must not come back.
/// </summary>
/// <param name="Epoch">Counts from 1; 0 for a cluster that was never forced.</param>
/// <param name="LeftBehind">The incarnations whose data is of before.</param>
internal sealed record RecoveryEpoch(int Epoch, IReadOnlyList<MemberIncarnation> LeftBehind)
{
    /// <summary>Upper 16 bits of a signed number.</summary>
    public const int Most = short.MaxValue;

    // Of a zxid, below the epoch.
    private const int IndexBits = 48;

    public static readonly RecoveryEpoch First = new(0, []);

    /// <summary>
    /// How many lives of each id an epoch has room for. The survivor's log may not know of every life, nor of every member, of the
    /// epochs before: so each epoch begins to count behind all that there can have been.
    /// </summary>
    public const int LivesOfEpoch = 1 << 10;

    /// <summary>
    /// Members that were left behind, but still run and do not reach the survivor, may go on electing each other for a while. So far ahead,
    /// no term of theirs is ever one of the new quorum's, and nothing that is told apart by its term is mistaken.
    /// </summary>
    public const int TermBits = 32;

    /// <summary>How far a break goes ahead with the term, at the least.</summary>
    public const long TermsAhead = 1L << TermBits;

    /// <summary>
    /// Whether a term is of an earlier epoch than another one: no elections of one epoch can bring two members that far apart, not in
    /// years of one after the other.
    /// </summary>
    public static bool IsOfEarlier(Term term, Term than) => than.Value - term.Value >= TermsAhead / 2;

    /// <summary>The last life that any member can have been given in earlier epochs.</summary>
    public int LastLifeBefore => Epoch * LivesOfEpoch;

    /// <summary>The zxid of an entry of this epoch.</summary>
    public long ZxidOf(LogIndex index) => ((long)Epoch << IndexBits) | index.Value;

    /// <summary>The first zxid that an epoch could have: all of earlier ones are less.</summary>
    public static long FirstZxidOfEpochOf(long zxid) => zxid >> IndexBits << IndexBits;

    /// <summary>The command that breaks.</summary>
    public byte[] ToCommand()
    {
        var output = new ArrayBufferWriter<byte>(64);
        WriteTo(output);
        return Envelope.Encode(default, 0, 0, Envelope.Name(Applier.NodeSection), output.WrittenMemory);
    }

    public void WriteTo(IBufferWriter<byte> output)
    {
        var writer = new MessagePackWriter(output);
        writer.Write(Epoch);
        writer.WriteArrayHeader(LeftBehind.Count);
        foreach (var life in LeftBehind)
        {
            writer.WriteArrayHeader(2);
            writer.Write(life.Id.Value);
            writer.Write(life.Incarnation);
        }
        writer.Flush();
    }

    public static RecoveryEpoch Read(ref MessagePackReader reader)
    {
        var epoch = reader.ReadInt32();
        var lives = new List<MemberIncarnation>();
        for (var count = reader.ReadArrayHeader(); count > 0; count--)
        {
            reader.ReadArrayHeader(2);
            lives.Add(new MemberIncarnation(new MemberId(reader.ReadInt32()), reader.ReadInt32()));
        }
        return new RecoveryEpoch(epoch, lives);
    }
}
