using System.Text;

namespace RaftKit.Chaos;

/// <summary>What a member's processes log, one after the other.</summary>
internal sealed class MemberLog(string file)
{
    /// <summary>How long it is now.</summary>
    public long Length => File.Exists(file) ? new FileInfo(file).Length : 0;

    /// <summary>What was logged behind that length.</summary>
    public string Since(long length)
    {
        if (Length <= length)
            return "";
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        stream.Position = length;
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }
}

/// <summary>What several processes log from a moment on, for as long as they run.</summary>
internal sealed class Hearing(Subject subject, (MemberProcess Process, MemberLog Log, long From)[] logs)
{
    public bool Contains(string words) => logs.Any(heard =>
        heard.Log.Since(heard.From).Contains(words, StringComparison.Ordinal) && subject.Find(heard.Process.Id)?.Pid == heard.Process.Pid);
}
