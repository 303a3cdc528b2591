using System.Buffers;
using System.Text;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

/// <summary>A tree, and entries that follow one another: each call takes the next zxid, a second after the last.</summary>
internal sealed class Scene
{
    public const long Me = 0x1001;
    public const long Other = 0x2002;
    private const long Epoch = 1_700_000_000_000;

    public ZnodeTree Tree { get; private set; } = new();

    public List<TreeChange> Changes { get; } = [];

    public long Zxid { get; private set; }

    public long Time => Epoch + 1000 * Zxid;

    public TreeResult Apply(TreeCommand command, long session = Me)
    {
        Zxid++;
        Changes.Clear();
        return Tree.Apply(command, session, new TreeStamp(Zxid, Time), Changes);
    }

    public ZnodeOperationResult Create(string path, string? data = "", CreateMode mode = CreateMode.Persistent, long session = Me) =>
        Apply(new TreeCommand.Create(path, Bytes(data), mode), session).Single;

    public ZnodeOperationResult Set(string path, string? data, int version = -1) =>
        Apply(new TreeCommand.Set(path, Bytes(data), version)).Single;

    public ZnodeOperationResult Delete(string path, int version = -1) => Apply(new TreeCommand.Delete(path, version)).Single;

    public ZnodeOperationResult Check(string path, int version = -1) => Apply(new TreeCommand.Check(path, version)).Single;

    public TreeResult Multi(params TreeCommand[] operations) => Apply(new TreeCommand.Multi(operations));

    public void EndSession(long session)
    {
        Zxid++;
        Changes.Clear();
        Tree.RemoveEphemerals(session, new TreeStamp(Zxid, Time), Changes);
    }

    public ZnodeStat Stat(string path)
    {
        Assert.True(Tree.TryGetStat(path, out var stat), $"{path} is not there");
        return stat;
    }

    public string Data(string path)
    {
        Assert.True(Tree.TryGet(path, out var data, out _), $"{path} is not there");
        return Encoding.UTF8.GetString(data.Span);
    }

    public bool Exists(string path) => Tree.TryGetStat(path, out _);

    public IReadOnlyList<string> Children(string path) => Tree.Children(path, out _)!;

    public static ReadOnlyMemory<byte> Bytes(string? text) => text is null ? default : Encoding.UTF8.GetBytes(text);

    public CommandContext Context => new(new LogIndex(Zxid), new Term(1), Time, Zxid);

    /// <summary>All frames of a capture, with something done before each slice.</summary>
    public static List<byte[]> Frames(ISnapshotCapture capture, Action? beforeSlice = null)
    {
        var frames = new List<byte[]>();
        bool more;
        do
        {
            beforeSlice?.Invoke();
            var frame = new ArrayBufferWriter<byte>();
            more = capture.WriteSlice(frame);
            frames.Add(frame.WrittenSpan.ToArray());
        }
        while (more);
        capture.Dispose();
        return frames;
    }

    public static ZnodeTree Restored(IEnumerable<byte[]> frames, CommandContext context)
    {
        var tree = new ZnodeTree();
        var restorer = tree.BeginRestore();
        foreach (var frame in frames)
            restorer.Frame(frame);
        restorer.Complete(context);
        return tree;
    }
}
